/* push_host.c: which host is sent to: in turn among the fit ones, with a breaker each; and how often anything is sent again.
 *
 * A breaker: CLOSED -HOST_FAILURES in a row-> OPEN for 1 s, 2 s, 4 s … 30 s with jitter -time-> HALF: one request at a time;
 * HALF -HOST_PROOFS answers-> CLOSED, HALF -a failure-> OPEN, longer.
 * A host that is full (429) rests, longer with each time in a row, until another request to it gets through; the limit of requests in
 * flight is halved once a round and grows by one with each round of clean answers.
 * The retry budget keeps a sick back-end from being hammered: a retry costs a token, each first send earns a fifth of one, and five
 * come with each second, so that a lone retry is always possible; at most BUDGET_MAX are kept. A retry of which the back-end took
 * something gives its token back: it works, only not as fast.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "operators/sinks/push/push.h"
#include "runtime/base/clock.h"

enum { HOST_FAILURES = 5, HOST_PROOFS = 3, BUDGET_PER_S = 5, BUDGET_MAX = 20, BUDGET_SENDS = 5 };
#define HOST_OPEN_MIN_NS SL_NS_PER_S
#define HOST_OPEN_MAX_NS (30 * SL_NS_PER_S)
#define HOST_ASKED_MAX_NS (600 * SL_NS_PER_S)
#define BUDGET_TOKEN_NT 1000000000ull /* tokens are counted in billionths: elapsed ns times a rate is exact */

/* Half of `ns`, and a random part of the other half. */
static uint64_t host_jitter(struct push *push, uint64_t ns)
{
    return ns - ns / 2 + push->api->random(push->api->env) % (ns / 2 + 1);
}

static uint64_t host_doubled(uint64_t first_ns, uint32_t times, uint64_t max_ns)
{
    uint64_t ns = first_ns;

    for (uint32_t i = 1; i < times && ns < max_ns; i++)
        ns *= 2;
    return ns < max_ns ? ns : max_ns;
}

uint64_t push_backoff(struct push *push, uint32_t attempts)
{
    return host_jitter(push, host_doubled(push->backoff_min_ns, attempts, push->backoff_max_ns));
}

static bool host_is_fit(const struct push_host *host, uint64_t now_ns)
{
    return now_ns >= host->until_ns && (host->state == PUSH_HOST_CLOSED || host->flying == 0);
}

int push_host_choose(struct push *push, uint64_t now_ns, uint64_t *ret_at_ns)
{
    for (uint32_t i = 0; i < push->hosts_count; i++) {
        uint32_t at = (push->host_next + i) % push->hosts_count;
        struct push_host *host = &push->hosts[at];
        if (host_is_fit(host, now_ns)) {
            if (host->state == PUSH_HOST_OPEN) {
                host->state = PUSH_HOST_HALF;
                host->proofs = 0;
            }
            push->host_next = (at + 1) % push->hosts_count;
            return (int)at;
        }
        if (host->until_ns > now_ns && host->until_ns < *ret_at_ns)
            *ret_at_ns = host->until_ns;
    }
    return -1;
}

bool push_host_other(const struct push *push, uint32_t host, uint64_t now_ns)
{
    for (uint32_t i = 0; i < push->hosts_count; i++)
        if (i != host && push->hosts[i].state == PUSH_HOST_CLOSED && host_is_fit(&push->hosts[i], now_ns))
            return true;
    return false;
}

/* What waited for a host need not wait longer; the budget spreads it. */
static void host_hurry(struct push *push, uint64_t now_ns)
{
    for (struct push_bulk *bulk = push->waiting; bulk != NULL; bulk = bulk->next)
        if (bulk->by_host && bulk->due_ns > now_ns)
            bulk->due_ns = now_ns;
}

void push_host_fine(struct push *push, uint32_t index, uint64_t now_ns)
{
    struct push_host *host = &push->hosts[index];

    if (host->turned > 0 && !host->asked)
        host->until_ns = now_ns;
    if (host->failures > 0 || host->turned > 0 || host->state != PUSH_HOST_CLOSED)
        host_hurry(push, now_ns);
    host->failures = host->turned = 0;
    if (host->state != PUSH_HOST_CLOSED && ++host->proofs >= HOST_PROOFS) {
        host->state = PUSH_HOST_CLOSED;
        host->opens = 0;
    }
}

void push_host_failed(struct push *push, uint32_t index, uint64_t now_ns)
{
    struct push_host *host = &push->hosts[index];

    if (host->state == PUSH_HOST_OPEN) /* sent before it opened */
        return;
    if (host->state == PUSH_HOST_CLOSED && ++host->failures < HOST_FAILURES)
        return;
    host->state = PUSH_HOST_OPEN;
    host->opens++;
    host->until_ns = now_ns + host_jitter(push, host_doubled(HOST_OPEN_MIN_NS, host->opens, HOST_OPEN_MAX_NS));
    push->api->tally(push->api->env, push->sink, PUSH_BREAKS, 1);
}

void push_host_rest(struct push *push, uint32_t index, uint64_t until_ns)
{
    struct push_host *host = &push->hosts[index];

    host->asked = true;
    if (until_ns > host->until_ns)
        host->until_ns = until_ns;
}

void push_host_full(struct push *push, const struct push_bulk *bulk, uint64_t now_ns)
{
    struct push_host *host = &push->hosts[bulk->host];
    bool again = bulk->sent_ns >= host->turned_ns;

    if (now_ns >= host->until_ns)
        host->asked = false;
    push_limit_fewer(push, bulk, now_ns);
    if (bulk->request.retry_after_ns > 0)
        push_host_rest(push, bulk->host, now_ns + (bulk->request.retry_after_ns < HOST_ASKED_MAX_NS ? bulk->request.retry_after_ns : HOST_ASKED_MAX_NS));
    if (!again)
        return;
    host->turned++;
    host->turned_ns = now_ns;
    if (now_ns + push_backoff(push, host->turned) > host->until_ns)
        host->until_ns = now_ns + push_backoff(push, host->turned);
}

/* Requests that flew together are turned away together: that is one reason, not many. */
void push_limit_fewer(struct push *push, const struct push_bulk *bulk, uint64_t now_ns)
{
    if (bulk->sent_ns < push->limited_ns)
        return;
    push->limited_ns = now_ns;
    push->limit = push->limit > 1 ? push->limit / 2 : 1;
    push->clean = 0;
}

void push_limit_more(struct push *push)
{
    if (++push->clean < push->limit)
        return;
    push->clean = 0;
    if (push->limit < push->settings->concurrency)
        push->limit++;
}

static void budget_add(struct push *push, uint64_t nt)
{
    push->budget_nt += nt;
    if (push->budget_nt > BUDGET_MAX * BUDGET_TOKEN_NT)
        push->budget_nt = BUDGET_MAX * BUDGET_TOKEN_NT;
}

void push_budget_earn(struct push *push)
{
    budget_add(push, BUDGET_TOKEN_NT / BUDGET_SENDS);
}

void push_budget_return(struct push *push)
{
    budget_add(push, BUDGET_TOKEN_NT);
}

bool push_budget_take(struct push *push, uint64_t now_ns, uint64_t *ret_at_ns)
{
    uint64_t full_ns = BUDGET_MAX * BUDGET_TOKEN_NT / BUDGET_PER_S, elapsed_ns = now_ns - push->budget_ns, at_ns;

    assert(now_ns >= push->budget_ns);
    budget_add(push, (elapsed_ns < full_ns ? elapsed_ns : full_ns) * BUDGET_PER_S);
    push->budget_ns = now_ns;
    if (push->budget_nt >= BUDGET_TOKEN_NT) {
        push->budget_nt -= BUDGET_TOKEN_NT;
        return true;
    }
    at_ns = now_ns + (BUDGET_TOKEN_NT - push->budget_nt + BUDGET_PER_S - 1) / BUDGET_PER_S;
    *ret_at_ns = at_ns < *ret_at_ns ? at_ns : *ret_at_ns;
    return false;
}
