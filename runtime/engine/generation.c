/* generation.c: versions of a topology in a host: prepared, put into every slot, freed when nothing of them runs.
 *
 * A version's memory: `from` and its shares live as long as some row of the live version, or of a candidate, has its settings (origins): a sink that
 * stayed through a hundred swaps keeps the version that opened it. Merged rows and plans go once all slots have settled.
 * Everything here that blocks (opening, claiming zones) runs on the caller's thread, never on a slot's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/generation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/engine/host_private.h"
#include "runtime/engine/worker.h"

#define GENERATION_WAIT_NS (1000 * SL_NS_PER_MS)
#define GENERATION_NAP_NS (2 * (long)SL_NS_PER_MS)
#define GENERATION_ZONES_S 10 /* so long may the commit record take to give a new sink its zone */

/* ---- versions ---- */

static struct host_version *version_free(struct host_version *version)
{
    if (version == NULL)
        return NULL;
    for (uint32_t c = 0; version->shared != NULL && version->origins != NULL && c < version->components_count; c++)
        if (version->origins[c] == version)
            sl_host_unshare(version, c);
    for (uint32_t s = 0; version->plans != NULL && s < version->slots; s++)
        version->plans[s] = sl_plan_free(version->plans[s]);
    sl_merge_fini(&version->merge);
    if (version->release != NULL)
        version->release(version->user);
    version->from = sl_topology_free(version->from);
    free(version->plans);
    free(version->apis);
    free(version->shared);
    free(version->origins);
    free(version->settings);
    free(version);
    return NULL;
}

struct host_version *sl_host_version_new(struct host_topology *at, const struct sl_topology *topology, uint32_t number, struct sl_err *err)
{
    struct host_version *version = calloc(1, sizeof(*version));
    uint32_t count = topology->components_count + 1;

    if (version == NULL || (version->apis = calloc(count, sizeof(*version->apis))) == NULL ||
        (version->shared = calloc(count, sizeof(void *))) == NULL ||
        (version->origins = calloc(count, sizeof(struct host_version *))) == NULL ||
        (version->settings = calloc(count, sizeof(struct host_version *))) == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a version of topology %s", topology->name);
        return version_free(version);
    }
    version->number = number;
    version->topology = topology;
    version->components_count = topology->components_count;
    for (uint32_t c = 0; c < topology->components_count; c++)
        version->origins[c] = version->settings[c] = topology->components[c].role == SL_GONE ? NULL : version;
    version->next = at->versions;
    at->versions = version;
    return version;
}

static void version_unlink(struct host_topology *at, struct host_version *version)
{
    struct host_version **last = &at->versions;

    while (*last != version)
        last = &(*last)->next;
    *last = version->next;
}

/* Slots are gone: in the order that nothing is read of what is freed, the newest first, so that what it kept is still there. */
void sl_host_versions_close(struct host_topology *at)
{
    for (struct host_version *version = at->versions; version != NULL; version = version->next)
        for (uint32_t s = 0; version->plans != NULL && s < version->slots; s++)
            version->plans[s] = sl_plan_free(version->plans[s]);
    while (at->versions != NULL) {
        struct host_version *version = at->versions;
        at->versions = version->next;
        (void)version_free(version);
    }
}

/* ---- what is over ---- */

struct settled {
    bool all;
};

static void settled_each(void *user, struct sl_slot *slot)
{
    struct settled *settled = user;
    enum sl_slot_state state = sl_slot_state(slot);

    settled->all = settled->all && (sl_slot_settled(slot) || state == SL_SLOT_ENDED || state == SL_SLOT_FAILED);
}

static bool version_is_used(const struct host_topology *at, const struct host_version *version)
{
    for (const struct host_version *user = at->versions; user != NULL; user = user->next)
        for (uint32_t c = 0; user != version && !user->retired && c < user->components_count; c++)
            if (user->origins[c] == version || user->settings[c] == version)
                return true;
    return false;
}

/* A retired version shares what the live one has changed or dropped with nobody any more. */
static void version_unshare(const struct host_topology *at, struct host_version *version)
{
    for (uint32_t c = 0; c < version->components_count; c++)
        if (version->origins[c] == version && (c >= at->live->components_count || at->live->origins[c] != version))
            sl_host_unshare(version, c);
}

/* Under `change`, with every slot settled. */
static void versions_reap(struct sl_host *host, struct host_topology *at)
{
    if (atomic_load(&host->pins) > 0 || at->replay != NULL)
        return; /* the next time */
    for (struct host_version *version = at->versions, *next; version != NULL; version = next) {
        next = version->next;
        if (!version->retired || atomic_load(&version->waiting) > 0)
            continue;
        for (uint32_t s = 0; version->plans != NULL && s < version->slots; s++)
            version->plans[s] = sl_plan_free(version->plans[s]);
        version_unshare(at, version);
        if (version_is_used(at, version))
            continue;
        version_unlink(at, version);
        (void)version_free(version);
    }
}

static bool versions_settle(struct sl_host *host, struct host_topology *at)
{
    struct settled settled = {true};
    bool some = false;

    for (struct host_version *version = at->versions; version != NULL; version = version->next)
        some = some || version->retired;
    if (!some)
        return true;
    sl_host_ask_at(host, at, settled_each, &settled);
    if (settled.all)
        versions_reap(host, at);
    return settled.all;
}

bool sl_host_settled(struct sl_host *host, const char *topology)
{
    struct sl_err err;
    struct host_topology *at = sl_host_find(host, topology, &err);
    bool settled = true;

    if (at == NULL)
        return true;
    (void)pthread_mutex_lock(&at->change);
    settled = versions_settle(host, at);
    (void)pthread_mutex_unlock(&at->change);
    return settled;
}

uint32_t sl_host_live(struct sl_host *host, const char *topology)
{
    struct sl_err err;
    struct host_topology *at = sl_host_find(host, topology, &err);
    uint32_t number = 0;

    if (at == NULL)
        return 0;
    (void)pthread_mutex_lock(&at->change);
    number = at->live->number;
    (void)pthread_mutex_unlock(&at->change);
    return number;
}

void sl_host_number(struct sl_host *host, const char *topology, uint32_t number)
{
    struct sl_err err;
    struct host_topology *at = sl_host_find(host, topology, &err);

    if (at != NULL)
        at->live->number = at->shared.generation = number;
}

/* ---- preparing ---- */

struct facts { /* of all slots; index by sl_slot's own */
    struct sl_slot **slots;
    struct sl_slot_facts *facts;
    uint32_t count, cap;
    struct sl_err err;
    bool failed;
};

static void facts_each(void *user, struct sl_slot *slot)
{
    struct facts *facts = user;

    if (facts->failed || facts->count == facts->cap)
        return;
    facts->slots[facts->count] = slot;
    if (sl_slot_facts(slot, &facts->facts[facts->count], &facts->err) != 0)
        facts->failed = true;
    facts->count++;
}

static int facts_take(struct sl_host *host, struct host_topology *at, struct facts *facts, struct sl_err *err)
{
    facts->cap = at->shared.slots;
    facts->slots = calloc(facts->cap, sizeof(struct sl_slot *));
    facts->facts = calloc(facts->cap, sizeof(*facts->facts));
    if (facts->slots == NULL || facts->facts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to prepare topology %s", at->name);
    sl_host_ask_at(host, at, facts_each, facts);
    if (facts->failed || facts->count == facts->cap) {
        if (facts->failed)
            *err = facts->err;
        return facts->failed ? -(int)err->code : 0;
    }
    return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "topology %s has %u of its %u slots", at->name, facts->count, facts->cap);
}

struct zones { /* waits for the clerks; outlives the wait where they take too long */
    pthread_mutex_t lock;
    pthread_cond_t some;
    uint32_t left;
    bool given_up;
    struct host_version *version;
};

static void zones_free(struct zones *zones)
{
    (void)pthread_mutex_destroy(&zones->lock);
    (void)pthread_cond_destroy(&zones->some);
    free(zones);
}

static void zones_done(void *user, struct sl_plan *plan)
{
    struct zones *zones = user;
    bool last;

    (void)plan;
    (void)pthread_mutex_lock(&zones->lock);
    zones->left--;
    last = zones->left == 0 && zones->given_up;
    (void)atomic_fetch_sub(&zones->version->waiting, 1);
    (void)pthread_cond_signal(&zones->some);
    (void)pthread_mutex_unlock(&zones->lock);
    if (last)
        zones_free(zones);
}

static int zones_late(const struct host_topology *at, struct sl_err *err)
{
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0,
                   "topology %s: the commit record did not give a new sink its landing zone within %d s: a disk or broker that its commits "
                   "wait for does not answer; try again once it does", at->name, GENERATION_ZONES_S);
}

static int zones_wait(const struct host_topology *at, struct zones *zones, struct sl_err *err)
{
    struct timespec until;
    bool over;
    int status = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += GENERATION_ZONES_S;
    (void)pthread_mutex_lock(&zones->lock);
    while (zones->left > 0 && status == 0)
        status = pthread_cond_timedwait(&zones->some, &zones->lock, &until);
    over = zones->left == 0;
    zones->given_up = true;
    (void)pthread_mutex_unlock(&zones->lock);
    if (over)
        zones_free(zones);
    return over ? 0 : zones_late(at, err);
}

static struct zones *zones_new(struct host_version *version)
{
    struct zones *zones = calloc(1, sizeof(*zones));
    pthread_condattr_t monotonic;

    if (zones == NULL)
        return NULL;
    zones->version = version;
    (void)pthread_mutex_init(&zones->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&zones->some, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return zones;
}

static int version_zones(struct host_topology *at, struct host_version *version, struct sl_err *err)
{
    struct zones *zones = zones_new(version);

    if (zones == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to prepare topology %s", at->name);
    for (uint32_t s = 0; s < version->slots; s++) {
        (void)pthread_mutex_lock(&zones->lock);
        zones->left++;
        (void)atomic_fetch_add(&version->waiting, 1);
        (void)pthread_mutex_unlock(&zones->lock);
        if (sl_plan_zones(version->plans[s], zones_done, zones))
            continue;
        (void)pthread_mutex_lock(&zones->lock);
        zones->left--;
        (void)atomic_fetch_sub(&version->waiting, 1);
        (void)pthread_mutex_unlock(&zones->lock);
    }
    if (zones_wait(at, zones, err) != 0)
        return -(int)err->code;
    for (uint32_t s = 0; s < version->slots; s++)
        if (sl_plan_zones_err(version->plans[s])->code != SL_OK) {
            *err = *sl_plan_zones_err(version->plans[s]);
            return -(int)err->code;
        }
    return 0;
}

static int version_shares(struct sl_host *host, struct host_topology *at, struct host_version *version, struct sl_err *err)
{
    const struct host_version *live = at->live;

    for (uint32_t c = 0; c < version->components_count; c++) {
        enum sl_merge_fate fate = version->merge.fates[c];
        if (fate == SL_MERGE_KEPT || fate == SL_MERGE_SET) {
            version->shared[c] = live->shared[c];
            version->origins[c] = live->origins[c];
            version->settings[c] = fate == SL_MERGE_KEPT ? live->settings[c] : version;
        } else if (version->origins[c] != NULL && sl_host_share(host, at, version, c, err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static int version_plans(struct host_topology *at, struct host_version *version, struct facts *facts, struct sl_err *err)
{
    version->plans = calloc(facts->count, sizeof(struct sl_plan *));
    version->slots = facts->count;
    if (version->plans == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to prepare topology %s", at->name);
    for (uint32_t s = 0; s < facts->count; s++) {
        version->plans[s] = sl_slot_prepare(facts->slots[s], &facts->facts[s], version->topology, version->shared,
                                            version->merge.fates, version->number, err);
        if (version->plans[s] == NULL)
            return -(int)err->code;
    }
    return version_zones(at, version, err);
}

/* It goes as if it had never been; where a clerk still has it in hand, later. */
static void version_drop(struct host_topology *at, struct host_version *version)
{
    version->retired = true;
    if (atomic_load(&version->waiting) > 0)
        return;
    version_unlink(at, version);
    (void)version_free(version);
}

static int prepare_all(struct sl_host *host, struct host_topology *at, struct sl_topology *from, uint32_t number,
                       struct host_version **ret_version, struct sl_err *err)
{
    struct facts facts = {0};
    struct sl_merge merge = {0};
    struct host_version *version = NULL;
    int status = sl_merge(at->live->topology, from, &merge, err);

    if (status == 0) {
        version = sl_host_version_new(at, merge.topology, number, err);
        status = version == NULL ? -(int)err->code : 0;
    }
    if (status == 0) {
        version->merge = merge;
        status = facts_take(host, at, &facts, err);
    } else {
        sl_merge_fini(&merge);
    }
    if (status == 0)
        status = version_shares(host, at, version, err);
    if (status == 0)
        status = version_plans(at, version, &facts, err);
    free(facts.slots);
    free(facts.facts);
    if (status != 0 && version != NULL)
        version_drop(at, version);
    *ret_version = version;
    return status;
}

int sl_host_prepare(struct sl_host *host, struct sl_topology *from, uint32_t number, void (*release)(void *user), void *user,
                    struct sl_candidate **ret_candidate, struct sl_err *err)
{
    struct host_topology *at = sl_host_find(host, from->name, err);
    struct sl_candidate *candidate = calloc(1, sizeof(*candidate));
    struct host_version *version = NULL;
    int status;

    if (at == NULL || candidate == NULL) {
        free(candidate);
        return at == NULL ? -(int)err->code : sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to prepare topology %s", from->name);
    }
    (void)pthread_mutex_lock(&at->change);
    (void)versions_settle(host, at);
    status = prepare_all(host, at, from, number, &version, err);
    if (status == 0) {
        version->from = from;
        version->release = release;
        version->user = user;
        *candidate = (struct sl_candidate){host, at, version};
    }
    (void)pthread_mutex_unlock(&at->change);
    if (status != 0) {
        free(candidate);
        return status;
    }
    *ret_candidate = candidate;
    return 0;
}

/* ---- putting it in ---- */

struct swap {
    struct host_version *version, *old;
    uint32_t count; /* slots that have it */
    uint64_t longest_ns;
    struct sl_err err;
    bool failed;
};

static void swap_each(void *user, struct sl_slot *slot)
{
    struct swap *swap = user;
    uint64_t began_ns = sl_clock_now_ns(), took_ns;
    struct sl_plan *old = NULL;
    uint32_t s = 0;

    if (swap->failed)
        return;
    while (s < swap->version->slots && (swap->version->plans[s] == NULL || sl_plan_slot(swap->version->plans[s]) != slot))
        s++; /* one that is put in already is another slot's */
    assert(s < swap->version->slots);
    if (sl_slot_swap(slot, swap->version->plans[s], &old, &swap->err) != 0) {
        swap->failed = true;
        return;
    }
    swap->version->plans[s] = NULL; /* the slot's now */
    swap->old->plans[swap->count++] = old;
    took_ns = sl_clock_now_ns() - began_ns;
    swap->longest_ns = took_ns > swap->longest_ns ? took_ns : swap->longest_ns;
}

static void report_fill(const struct host_version *version, struct sl_swap_report *report)
{
    for (uint32_t c = 0; c < version->components_count; c++) {
        enum sl_merge_fate fate = version->merge.fates[c];
        enum sl_role role = version->topology->components[c].role;
        report->gone_sinks += fate == SL_MERGE_GONE;
        report->kept_sinks += role == SL_SINK && fate == SL_MERGE_KEPT;
        report->changed_sinks += role == SL_SINK && fate == SL_MERGE_CHANGED;
        report->new_sinks += role == SL_SINK && fate == SL_MERGE_NEW;
        report->kept_sources += role == SL_SOURCE && fate == SL_MERGE_KEPT;
        report->other_sources += role == SL_SOURCE && fate != SL_MERGE_KEPT && fate != SL_MERGE_NONE;
    }
}

static void promote_live(struct host_topology *at, struct host_version *version, struct host_version *old)
{
    old->live = false;
    old->retired = true;
    version->live = true;
    at->live = version;
    at->shared.component_shared = version->shared;
    at->shared.generation = version->number;
    atomic_store(&at->topology, version->topology);
    atomic_store(&at->shared.fallback, true);
}

/* A sink that is changed again before its earlier version has finished reads again: where that finishes soon, it is waited for. A sick one
 * is not. */
static void promote_wait(struct sl_host *host, struct host_topology *at)
{
    const struct timespec nap = {0, GENERATION_NAP_NS};
    uint64_t until_ns = sl_clock_now_ns() + GENERATION_WAIT_NS;

    while (!versions_settle(host, at) && sl_clock_now_ns() < until_ns)
        (void)nanosleep(&nap, NULL);
}

/* A slot that refuses has stopped or is ending. Where others have swapped before it was asked, they stay with the new version, and so does the
 * topology. */
int sl_host_promote(struct sl_host *host, struct sl_candidate *candidate, struct sl_swap_report *ret_report, struct sl_err *err)
{
    struct host_topology *at = candidate->at;
    struct host_version *version = candidate->version, *old;
    struct swap swap = {.version = version};
    uint64_t began_ns = sl_clock_now_ns();
    int status = 0;

    (void)pthread_mutex_lock(&at->change);
    promote_wait(host, at);
    old = swap.old = at->live;
    free(old->plans);
    old->plans = calloc(version->slots, sizeof(struct sl_plan *));
    old->slots = version->slots;
    if (old->plans == NULL)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to change topology %s", at->name);
    if (status == 0)
        sl_host_ask_at(host, at, swap_each, &swap);
    if (status == 0 && swap.failed && swap.count == 0) {
        *err = swap.err;
        status = -(int)err->code;
    }
    if (status == 0) {
        memset(ret_report, 0, sizeof(*ret_report));
        ret_report->slots = swap.count;
        report_fill(version, ret_report);
        promote_live(at, version, old);
        ret_report->longest_ns = swap.longest_ns;
        ret_report->wall_ns = sl_clock_now_ns() - began_ns;
        (void)versions_settle(host, at);
    } else {
        sl_host_trial_end(host, at, version);
        version_drop(at, version);
    }
    (void)pthread_mutex_unlock(&at->change);
    free(candidate);
    return status;
}

void sl_host_discard(struct sl_host *host, struct sl_candidate *candidate)
{
    struct host_topology *at = candidate->at;

    (void)pthread_mutex_lock(&at->change);
    sl_host_trial_end(host, at, candidate->version);
    version_drop(at, candidate->version);
    (void)pthread_mutex_unlock(&at->change);
    free(candidate);
}

void sl_host_fallback(struct sl_host *host, const char *topology, bool there)
{
    struct sl_err err;
    struct host_topology *at = sl_host_find(host, topology, &err);

    if (at != NULL)
        atomic_store(&at->shared.fallback, there);
}

/* ---- the topology as a whole ---- */

static void pause_each(void *user, struct sl_slot *slot)
{
    const bool *paused = user;

    sl_slot_pause(slot, *paused);
}

int sl_host_pause(struct sl_host *host, const char *topology, bool paused, struct sl_err *err)
{
    return sl_host_ask(host, topology, pause_each, &paused, err);
}

static void drain_each(void *user, struct sl_slot *slot)
{
    (void)user;
    sl_slot_drain(slot);
}

int sl_host_drain_topology(struct sl_host *host, const char *topology, struct sl_err *err)
{
    return sl_host_ask(host, topology, drain_each, NULL, err);
}
