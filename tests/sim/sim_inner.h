/* sim_inner.h: the inside of the simulator: the world (sim.c), its processes (sim_process.c), its topologies (sim_topology.c)
 * and the count at the end (sim_check.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SIM_SIM_INNER_H
#define SL_TESTS_SIM_SIM_INNER_H

#include <assert.h>

#include "runtime/engine/drive.h"
#include "runtime/engine/op.h"
#include "runtime/kafka/klog.h"
#include "runtime/store/data_dir.h"
#include "runtime/store/spool.h"
#include "tests/sim/model_log.h"
#include "tests/sim/sim.h"
#include "tests/support/disk.h"

enum {
    SIM_PROCESSES_MAX = 3,
    SIM_SLOTS_MAX = 2,
    SIM_PARTITIONS_MAX = 4,
    SIM_RECORDS_MAX = 4000,
    SIM_SINKS_MAX = 5,
    SIM_NAMES_MAX = 8192,
    SIM_FAULTS_MAX = 20,
    SIM_VERSIONS_MAX = 48, /* bits of sim_record.versions */
};

#define SIM_MS 1000000ull
#define SIM_S 1000000000ull
#define SIM_DATA "/data"

/* What a sink must hold of a record. */
enum sim_due { SIM_DUE_VALID, SIM_DUE_USEFUL, SIM_DUE_INVALID };

struct sim_sink {
    const char *name, *dir; /* dir NULL: a Kafka sink, into topic */
    const char *topic;
    enum sim_due due;
    bool backend; /* sim_sick.c; dir and topic NULL */
    const char *renamed, *moved; /* what versions of the topology may call it, and where its files may go, too; NULL: nothing */
};

struct sim_topology { /* a kind of world */
    const char *name, *text;
    bool kafka, sick; /* sick: with a back-end that falls ill, before it a queue */
    bool sick_drops;  /* what it refuses is dropped, else a dead letter */
    bool changes;     /* its versions are made as the run goes (sim_version.c) */
    struct sim_sink sinks[SIM_SINKS_MAX];
    uint32_t sinks_count;
    struct sl_topology *topology;
};

/* One version of the topology: what is told in it of each sink, by index into the kind's sinks. */
struct sim_version {
    uint32_t drops;  /* which records the filter takes away: by their level */
    uint32_t source; /* settings of the source */
    bool has[SIM_SINKS_MAX], renamed[SIM_SINKS_MAX], moved[SIM_SINKS_MAX];
    bool was[SIM_SINKS_MAX]; /* it says what the sink was called before */
    uint32_t settings[SIM_SINKS_MAX];
};

struct sim_record {
    uint64_t versions, offset; /* versions: those that may have decided what becomes of it, as bits */
    uint64_t after;            /* those that were live at any time since it was sent: a queue may hold it for long */
    bool placed;               /* its offset is known */
    bool settled;              /* committed by all sinks: no later version decides about it */
    uint32_t process, partition; /* process: whose spool; 0 with Kafka */
    bool valid, debug;
    bool asked, refused, durable; /* spool: appended; the answer; Kafka: durable at once */
    uint8_t seen[SIM_SINKS_MAX];
    char key[64]; /* under which the back-end has it */
};

struct sim_slot {
    struct sim_process *process;
    struct sl_slot *slot;
    struct sl_env env;
    uint64_t due_ns; /* of its next turn */
    bool woken;
    struct sl_job *jobs, **jobs_last; /* not yet run */
    struct sl_job *ran, **ran_last;   /* run, done() not yet called */
    uint64_t job_at_ns;
};

struct sim_life; /* a version in a process: sim_deploy.c */

struct sim_process {
    struct sim *sim;
    uint32_t index;
    char node[16];
    struct sl_disk *disk;
    bool up, dead, power; /* dead: died in the middle of a call; power: it takes the disk's unsynced writes with it */
    uint64_t start_at_ns, stopped_until_ns;
    uint64_t operations, die_at; /* 0: not now */
    uint32_t starts, failures;   /* failures: slots that failed since the quiet half began */
    struct sl_model_client *client;
    struct sl_data_dir data_dir;
    struct sl_spool *spool;
    uint64_t spool_at_ns;
    struct sl_shared shared;
    struct sim_life *live, *candidate, *lives; /* lives: all, the newest first */
    uint32_t version, before;                  /* version: the row that is live on its disk; before: the one that was */
    uint32_t swapping;                         /* slots that the candidate is in */
    bool row_first;                            /* else the row is written after the swap */
    uint64_t deploy_at_ns;
    uint64_t flush_number;
    struct sim_slot slots[SIM_SLOTS_MAX];
    uint32_t slots_count;
    uint64_t full_until_ns, cut_until_ns;
};

struct sim_wait { /* an append to a spool that waits for its answer */
    struct sl_spool_wait wait;
    struct sim_process *process;
    uint32_t first, count, start; /* start: of the process that was asked */
    bool answered;
    struct sim_wait *next;
};

struct sim {
    struct sim_settings settings;
    struct sim_result *result;
    const struct sim_topology *kind;
    uint64_t random;
    uint64_t now_ns, seen_ns; /* seen_ns: when the count was last asked for */
    int64_t unix_base_ms; /* moved by clock jumps */
    struct sl_model *model;
    struct sim_process processes[SIM_PROCESSES_MAX];
    uint32_t processes_count, partitions, slots;
    struct sim_record records[SIM_RECORDS_MAX];
    uint32_t records_count, records_goal;
    bool quiet, draining;
    uint64_t quiet_at_ns;
    uint64_t faults_at_ns[SIM_FAULTS_MAX]; /* ascending */
    uint32_t faults_count, faults_done;
    uint64_t down_until_ns;
    bool sick_good;          /* the back-end is only slow */
    uint64_t hangs_until_ns; /* it answers nothing */
    uint64_t commits_read; /* of the commit topic, by sim_check_commits */
    struct sim_wait *waits;
    struct sim_version versions[SIM_VERSIONS_MAX];
    uint32_t versions_count;
    uint64_t swaps; /* of slots that are no more, too */
    bool orphans; /* a start of a version without the back-end's sink: what waited in that one's queue waits for a person */
    char *names[SIM_NAMES_MAX]; /* "PROCESS/SINK/FINAL" of every flush entry ever committed */
    uint32_t names_count;
    bool failed;
};

/* sim.c */
uint64_t sim_random(struct sim *sim, uint64_t below);
bool sim_lot(struct sim *sim, uint32_t permille);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* sim_input.c */
/* Some records come in, somewhere. */
void sim_input(struct sim *sim);
/* Appends that this process still has to answer. */
bool sim_input_waits(const struct sim_process *process);
void sim_input_free(struct sim *sim);

/* sim_fault.c */
void sim_faults_plan(struct sim *sim, uint64_t until_ns);
/* Lets happen what is due; when the quiet half begins, undoes what is undone only by hand. */
void sim_faults(struct sim *sim);
void sim_faults_end(struct sim *sim);

/* sim_topology.c */
const struct sim_topology *sim_topology_of(uint64_t lot, const struct sim_settings *settings);
/* As the loader makes it of this text, or NULL with the problems on stderr. */
struct sl_topology *sim_topology_parse(const char *name, const char *text);

/* sim_version.c */
void sim_versions_begin(struct sim *sim);
/* Makes another version out of one; its number. SIM_VERSIONS_MAX: no room. */
uint32_t sim_version_make(struct sim *sim, uint32_t from);
bool sim_version_follows(const struct sim *sim, uint32_t number, uint32_t live);
struct sl_topology *sim_version_load(struct sim *sim, uint32_t number);
/* What some and what every version that may have decided about the record say of it at a sink. */
bool sim_version_some(const struct sim *sim, const struct sim_record *record, uint32_t sink);
bool sim_version_every(const struct sim *sim, const struct sim_record *record, uint32_t sink);
/* The version begins to decide, in this process. */
void sim_version_live(struct sim_process *process, uint32_t number);
uint64_t sim_versions_of(const struct sim *sim, uint32_t process);

/* sim_deploy.c */
/* The version that the process starts with. 0 or err. */
int sim_lives_open(struct sim_process *process, struct sl_err *err);
void sim_lives_close(struct sim_process *process); /* once no slot is there */
/* Bits of the versions that may decide in this process now. */
uint64_t sim_lives_versions(const struct sim_process *process);
void sim_deploy(struct sim_process *process);
uint64_t sim_deploy_due(const struct sim_process *process);
bool sim_deploy_is_over(const struct sim_process *process); /* nothing of an earlier version is left */

/* sim_sick.c */
extern const struct sl_sink_kind sim_sink_sick;
void sim_sick_begin(struct sim *sim);
/* The back-end will never take it, and it becomes a letter. */
bool sim_sick_refuses(const struct sim *sim, uint32_t number);
bool sim_sick_keeps(const struct sim *sim, uint32_t number);

/* sim_process.c */
int sim_process_share(struct sim_process *process, const struct sl_topology *topology, uint32_t index, struct sl_api *api, void **ret_shared,
                      struct sl_err *err);
void sim_process_init(struct sim *sim, uint32_t index);
void sim_process_fini(struct sim_process *process);
void sim_process_start(struct sim_process *process);
/* Ends it as it is: kill -9, or (power) with the machine. */
void sim_process_kill(struct sim_process *process, bool power);
/* It will die in the middle of one of its next operations, on disk or log. */
void sim_process_doom(struct sim_process *process, uint64_t operations);
uint64_t sim_process_commits(struct sim_process *process, uint64_t *ret_rewinds);
/* Executes one of the things that it could do now; false: there is none. */
bool sim_process_step(struct sim_process *process);
/* When it wants to do something next; UINT64_MAX: never by itself. */
uint64_t sim_process_due(const struct sim_process *process);
void sim_process_drain(struct sim_process *process);
bool sim_process_ended(const struct sim_process *process);

/* sim_check.c */
/* Notes the final names that a commit record names. */
void sim_check_entry(struct sim *sim, uint32_t process, struct sl_slice value);
void sim_check_commits(struct sim_process *process);
/* No final name on the disks that no commit record names. */
void sim_check_names(struct sim *sim);
/* A name of a commit record that is not there (yet), as PROCESS/COMPONENT/NAME; NULL: none. */
const char *sim_check_absent(struct sim *sim);
/* Why not everything is home, in words; NULL: it is. */
const char *sim_check_missing(struct sim *sim);
bool sim_check_all_committed(struct sim *sim);
void sim_check_end(struct sim *sim);
void sim_check_ledgers(struct sim_process *process);

#endif
