/* push_judge.c: what becomes of a bulk by its answer: rows are acknowledged, refused, or sent again (DELIVERY rule E2).
 *
 * No answer, and a connection that broke in the middle, leave the outcome unknown: the rows are sent again, under the same ids where
 * the back-end keeps ids. A refused request is cut in halves until the records at fault stand alone; that search may cost HUNT_MAX
 * requests a bulk, and HUNT_START where nothing of it is accepted; then what is left is refused together: dead letters lose nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/push/push.h"
#include "runtime/base/clock.h"

enum { HUNT_START = 128, HUNT_EARNS = 8, HUNT_MAX = 512, FULL_ATTEMPTS = 6, FULL_BYTES = 32 << 10, JUDGE_QUOTE_BYTES = 160 };
#define JUDGE_RETRY_AFTER_MAX_NS (600 * SL_NS_PER_S)

/* ---- answers to the engine ---- */

static void refs_flush(struct push *push)
{
    if (push->refs_count == 0)
        return;
    push->api->tally(push->api->env, push->sink, PUSH_RECORDS, push->refs_count);
    sl_slot_done(push->slot, push->sink, push->refs, push->refs_count, SL_ACK, NULL);
    push->refs_count = 0;
}

/* Returns how many rows were taken. */
static uint32_t bulk_acknowledge(struct push *push, const struct push_bulk *bulk)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < bulk->rows_count; i++) {
        struct push_row *row = &bulk->rows[i];
        if (row->state != PUSH_TAKEN)
            continue;
        taken++;
        row->state = PUSH_DEAD; /* answered: never again */
        push->refs[push->refs_count++] = row->ref;
        if (push->refs_count == PUSH_REFS)
            refs_flush(push);
    }
    refs_flush(push);
    return taken;
}

void push_refuse(struct push_bulk *bulk, struct push_row *row, const struct sl_err *why)
{
    struct push *push = bulk->push;
    struct sl_refused record = {row->ref, push_row_body(bulk, row), push_row_key(bulk, row), row->offset, row->append_unix_ms,
                                row->service, row->level};

    assert(row->state == PUSH_PENDING || row->state == PUSH_AGAIN);
    row->state = PUSH_DEAD;
    push->api->tally(push->api->env, push->sink, PUSH_REFUSED, 1);
    sl_slot_refused(push->slot, push->sink, &record, why);
}

void push_give_up(struct push *push, struct push_bulk *bulk, const struct sl_err *why)
{
    assert(bulk->push == push);
    for (uint32_t i = 0; i < bulk->rows_count; i++)
        if (bulk->rows[i].state == PUSH_PENDING || bulk->rows[i].state == PUSH_AGAIN)
            push_refuse(bulk, &bulk->rows[i], why);
    push_bulk_free(bulk);
}

/* ---- again ---- */

void push_say(struct push *push, uint64_t now_ns, const struct sl_err *why)
{
    struct sl_err said = *why;

    if (push->said_ns != 0 && now_ns - push->said_ns < PUSH_SAY_NS) {
        push->unsaid++;
        return;
    }
    if (push->unsaid > 0)
        (void)sl_while(&said, "(%u more)", (unsigned)push->unsaid);
    (void)sl_while(&said, "sink %s", push->api->component);
    push->api->log(push->api->env, &said, "sending again");
    push->said_ns = now_ns;
    push->unsaid = 0;
}

static void bulk_later(struct push *push, struct push_bulk *bulk, uint64_t now_ns, uint64_t due_ns, const struct sl_err *why)
{
    push_say(push, now_ns, why);
    for (uint32_t i = 0; i < bulk->rows_count; i++)
        if (bulk->rows[i].state == PUSH_AGAIN)
            bulk->rows[i].state = PUSH_PENDING;
    bulk->attempts++;
    if (push->deadline_ns != 0 && !bulk->setup && now_ns - bulk->sealed_ns >= push->deadline_ns) {
        struct sl_err late = *why;
        (void)sl_while(&late, "given up after %llu ms (retry.deadline)", (unsigned long long)(push->deadline_ns / SL_NS_PER_MS));
        push_give_up(push, bulk, &late);
        return;
    }
    bulk->due_ns = due_ns;
    push->api->tally(push->api->env, push->sink, PUSH_RETRIES, 1);
    push_wait(push, bulk);
}

static uint64_t judge_pause(struct push *push, const struct push_bulk *bulk)
{
    uint64_t asked_ns = bulk->request.retry_after_ns, own_ns = push_backoff(push, bulk->attempts + 1);

    asked_ns = asked_ns < JUDGE_RETRY_AFTER_MAX_NS ? asked_ns : JUDGE_RETRY_AFTER_MAX_NS;
    return asked_ns > own_ns ? asked_ns : own_ns;
}

static void bulk_failed(struct push *push, struct push_bulk *bulk, uint64_t now_ns, const struct sl_err *why)
{
    bool asked = bulk->request.failure == SL_HTTP_NONE && bulk->request.retry_after_ns > 0;

    push_host_failed(push, bulk->host, now_ns);
    if (asked)
        push_host_rest(push, bulk->host, now_ns + judge_pause(push, bulk));
    bulk->by_host = !asked;
    if (bulk->attempts < push->hosts_count && push_host_other(push, bulk->host, now_ns))
        bulk_later(push, bulk, now_ns, now_ns, why); /* another host may take it at once */
    else
        bulk_later(push, bulk, now_ns, now_ns + judge_pause(push, bulk), why);
}

/* Only the rows that were turned away. Without memory for a smaller bulk the whole goes again: what was answered stays so. */
static void bulk_rest(struct push *push, struct push_bulk *bulk, uint64_t now_ns, const struct sl_err *why)
{
    struct push_bulk *rest = push_bulk_part(bulk, 0, bulk->rows_count, PUSH_AGAIN);

    if (rest == NULL) {
        bulk_later(push, bulk, now_ns, now_ns + judge_pause(push, bulk), why);
        return;
    }
    push_bulk_free(bulk);
    push->api->tally(push->api->env, push->sink, PUSH_TURNED_AWAY, rest->rows_count);
    bulk_later(push, rest, now_ns, now_ns + push_backoff(push, rest->attempts + 1), why);
}

/* ---- halves ---- */

static void bulk_halve(struct push *push, struct push_bulk *bulk, uint64_t now_ns, uint32_t attempts, const struct sl_err *why)
{
    uint32_t middle = bulk->rows_count / 2;
    struct push_bulk *halves[2] = {push_bulk_part(bulk, 0, middle, PUSH_PENDING),
                                   push_bulk_part(bulk, middle, bulk->rows_count, PUSH_PENDING)};

    if (halves[0] == NULL || halves[1] == NULL) {
        push_bulk_free(halves[0]);
        push_bulk_free(halves[1]);
        bulk_later(push, bulk, now_ns, now_ns + judge_pause(push, bulk), why);
        return;
    }
    for (int i = 1; i >= 0; i--) { /* to the front: single records are reached before the search has cost much */
        halves[i]->attempts = attempts;
        halves[i]->due_ns = now_ns;
        if (bulk->hunt != NULL) {
            halves[i]->hunt = bulk->hunt;
            bulk->hunt->refs++;
        }
        if (halves[i]->rows_count > 0)
            push_wait_first(push, halves[i]);
        else
            push_bulk_free(halves[i]);
    }
    push_bulk_free(bulk);
}

static bool bulk_hunt(struct push_bulk *bulk)
{
    if (bulk->hunt == NULL) {
        bulk->hunt = calloc(1, sizeof(*bulk->hunt));
        if (bulk->hunt == NULL)
            return false;
        *bulk->hunt = (struct push_hunt){.refs = 1, .left = HUNT_START};
    }
    if (bulk->hunt->left < 2 || bulk->hunt->spent + 2 > HUNT_MAX)
        return false;
    bulk->hunt->left -= 2;
    bulk->hunt->spent += 2;
    return true;
}

/* ---- the answer ---- */

/* The beginning of the answer's text as one line: what a person needs to see. */
static void judge_quote(const struct sl_buf *answer, char text[JUDGE_QUOTE_BYTES])
{
    size_t to = 0;

    for (size_t i = 0; i < answer->bytes && to < JUDGE_QUOTE_BYTES - 1; i++) {
        unsigned char c = (unsigned char)answer->data[i];
        text[to++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    while (to > 0 && ((unsigned char)text[to - 1] & 0xc0) == 0x80) /* not in the middle of a character */
        to--;
    if (to > 0 && (unsigned char)text[to - 1] >= 0xc0)
        to--;
    text[to] = '\0';
}

static const char *judge_advice(int status)
{
    switch (status) {
    case 401:
        return ": authentication failed; check auth:";
    case 403:
        return ": access denied; check auth: and what this user may do";
    case 404:
    case 405:
        return ": nothing takes records there; check the path in url:";
    case 413:
        return ": too large for the back-end";
    case 429:
        return ": the back-end asks to slow down";
    default:
        return status >= 300 && status < 400 ? ": redirected, which is not followed; write the final address as url:" : "";
    }
}

static void judge_why(const struct push *push, const struct push_bulk *bulk, struct sl_err *why)
{
    const struct sl_http_request *request = &bulk->request;
    char quote[JUDGE_QUOTE_BYTES];

    if (request->failure != SL_HTTP_NONE) {
        (void)sl_fail(why, SL_E_IO, SL_REMEDY_RETRY, 0, "%s", request->why);
        return;
    }
    judge_quote(&request->answer, quote);
    (void)sl_fail(why, SL_E_IO, SL_REMEDY_RETRY, 0, "%s: HTTP %d%s%s%s", push->hosts[bulk->host].label, request->status,
                  judge_advice(request->status), quote[0] != '\0' ? ": " : "", quote);
}

static void judge_read(struct push *push, struct push_bulk *bulk, uint64_t now_ns)
{
    struct sl_err why, err;
    uint32_t again = 0;
    int status;

    push_host_fine(push, bulk->host, now_ns);
    if (bulk->hunt != NULL)
        bulk->hunt->left += HUNT_EARNS;
    (void)sl_fail(&why, SL_E_IO, SL_REMEDY_RETRY, 0, "%s: some records are to be sent again", push->hosts[bulk->host].label);
    status = push->kind->judge(push->sink, bulk, &why, &err);
    if (bulk_acknowledge(push, bulk) > 0) {
        if (bulk->attempts > 0)
            push_budget_return(push);
        bulk->attempts = 0; /* it moves on: the back-off begins anew */
    }
    if (status != 0) {
        (void)sl_while(&err, "%s", push->hosts[bulk->host].label);
        bulk->by_host = false;
        bulk_later(push, bulk, now_ns, now_ns + judge_pause(push, bulk), &err);
        return;
    }
    for (uint32_t i = 0; i < bulk->rows_count; i++)
        again += bulk->rows[i].state == PUSH_AGAIN;
    if (again > 0) {
        push_limit_fewer(push, bulk, now_ns);
        bulk_rest(push, bulk, now_ns, &why);
    } else {
        push_limit_more(push);
        push_bulk_free(bulk);
    }
}

static void judge_setup(struct push *push, struct push_bulk *bulk, uint64_t now_ns)
{
    struct sl_err why;

    if (bulk->request.failure == SL_HTTP_NONE && bulk->request.status >= 200 && bulk->request.status < 300) {
        push_host_fine(push, bulk->host, now_ns);
        push->setup_pending = false;
        push_bulk_free(bulk);
        return;
    }
    judge_why(push, bulk, &why);
    (void)sl_while(&why, "index_template");
    bulk_failed(push, bulk, now_ns, &why);
}

/* A piece that is refused: in halves while it has two rows and the search may go on. */
static void judge_bad(struct push *push, struct push_bulk *bulk, uint64_t now_ns, bool bounded, struct sl_err *why)
{
    push_host_fine(push, bulk->host, now_ns);
    why->remedy = SL_REMEDY_DEADLETTER;
    if (bulk->rows_count > 1 && (!bounded || bulk_hunt(bulk)))
        bulk_halve(push, bulk, now_ns, 0, why); /* no retry of the same: it costs no budget */
    else
        push_give_up(push, bulk, why);
}

/* A request that is turned away again and again, alone, may be more than the back-end ever takes at once. */
static void judge_full(struct push *push, struct push_bulk *bulk, uint64_t now_ns, const struct sl_err *why)
{
    bool alone = push->limit == 1 && push->flying_count == 0;
    struct push_host *host = &push->hosts[bulk->host];

    push_host_full(push, bulk, now_ns);
    push->api->tally(push->api->env, push->sink, PUSH_TURNED_AWAY, bulk->rows_count);
    if (alone && bulk->attempts >= FULL_ATTEMPTS && bulk->rows_count > 1 && bulk->text.bytes > FULL_BYTES) {
        push_say(push, now_ns, why);
        host->turned = 0;
        host->until_ns = host->asked ? host->until_ns : now_ns;
        bulk_halve(push, bulk, now_ns, bulk->attempts, why); /* if these are too much too, they are halved at once */
        return;
    }
    bulk->by_host = true;
    bulk_later(push, bulk, now_ns, now_ns, why); /* the host's pause is its own */
}

static void judge_status(struct push *push, struct push_bulk *bulk, uint64_t now_ns, struct sl_err *why)
{
    switch (push->kind->verdict(push->sink, bulk->request.status)) {
    case PUSH_READ:
        judge_read(push, bulk, now_ns);
        return;
    case PUSH_LATER:
        judge_full(push, bulk, now_ns, why);
        return;
    case PUSH_SICK:
        bulk_failed(push, bulk, now_ns, why);
        return;
    case PUSH_UNKNOWN:
        push_host_fine(push, bulk->host, now_ns);
        bulk->by_host = false;
        bulk_later(push, bulk, now_ns, now_ns + judge_pause(push, bulk), why);
        return;
    case PUSH_TOO_BIG:
        judge_bad(push, bulk, now_ns, false, why);
        return;
    case PUSH_BAD:
        judge_bad(push, bulk, now_ns, true, why);
        return;
    }
}

void push_judge(struct push *push, struct push_bulk *bulk, uint64_t now_ns)
{
    struct sl_err why;

    assert(bulk->next == NULL && bulk->request.driver == NULL);
    if (push->api->observe != NULL && bulk->request.failure == SL_HTTP_NONE)
        push->api->observe(push->api->env, bulk->request.took_ns);
    if (bulk->setup) {
        judge_setup(push, bulk, now_ns);
        return;
    }
    judge_why(push, bulk, &why);
    if (bulk->request.failure == SL_HTTP_TOO_LARGE && bulk->rows_count > 1)
        bulk_halve(push, bulk, now_ns, 0, &why);
    else if (bulk->request.failure != SL_HTTP_NONE)
        bulk_failed(push, bulk, now_ns, &why);
    else
        judge_status(push, bulk, now_ns, &why);
}
