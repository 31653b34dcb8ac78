/* What threads cost on Linux: the other side of `bench sched`, run as the init of a guest with two processors.
 *
 * Each part is done once to warm up and once between two markers, instructions that the counting plugin knows
 * (plugin/counters.c); then a line says how often the operation was done and how long that took:
 *
 *     LB <part> n=<operations> ns=<nanoseconds in all> [p50=<ns> p99=<ns> max=<ns>]
 *
 * `LB-END` ends the run, `LB-ERR <why>` an unsuccessful one. The word `parts=a,b` on the kernel's command line, which
 * init finds in its environment, selects parts; those that need two processors are left out where there is one. kernel/examples/sched-bench.rs does the same parts on Toro.
 *
 * Threads are pinned: the main thread to processor 0, its partner to 0 or 1 as the part demands. Messages go
 * through a ring in shared memory. Who finds it empty (or full) polls, or says so and sleeps on a futex; the other side
 * makes a system call only where somebody sleeps, so this is the least that Linux can do for a message. Timers have
 * the least slack that may be asked for.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BEGIN() __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00; .long 0x4d4b0001" ::: "memory")
#define END() __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00; .long 0x4d4b0002" ::: "memory")

/* ---- Odds and ends ---- */

static void finish(void) {
    fflush(stdout);
    reboot(RB_AUTOBOOT);
    _exit(1);
}

static void die(const char *what) {
    printf("LB-ERR %s\n", what);
    finish();
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void sleep_ns(uint64_t ns) {
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    if (nanosleep(&time, NULL) != 0) die("nanosleep");
}

static void report(const char *part, uint64_t n, uint64_t ns) {
    printf("LB %s n=%lu ns=%lu\n", part, n, ns);
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report_spread(const char *part, uint64_t *samples, uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += samples[i];
    qsort(samples, n, sizeof *samples, ascending);
    printf("LB %s n=%lu ns=%lu p50=%lu p99=%lu max=%lu\n", part, n, sum, samples[n / 2], samples[n * 99 / 100],
           samples[n - 1]);
}

/* ---- Threads on processors ---- */

static void start(pthread_t *thread, int processor, void *(*function)(void *), void *argument) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) die("pthread_attr_init");
    if (pthread_attr_setaffinity_np(&attributes, sizeof set, &set) != 0) die("pthread_attr_setaffinity_np");
    if (pthread_create(thread, &attributes, function, argument) != 0) die("pthread_create");
    pthread_attr_destroy(&attributes);
}

static void join(pthread_t thread) {
    if (pthread_join(thread, NULL) != 0) die("pthread_join");
}

/* ---- A ring from one thread to another ---- */

enum { SLOTS = 256 };
enum waiting { POLLING, SLEEPING };

struct ring {
    enum waiting waiting;
    _Alignas(64) atomic_uint head; /* next to be received */
    atomic_bool sender_sleeps;
    _Alignas(64) atomic_uint tail; /* next to be sent */
    atomic_bool receiver_sleeps;
    _Alignas(64) uint64_t slots[SLOTS];
};

/* Waits while `*place` is `value`. */
static void wait_while(enum waiting waiting, atomic_uint *place, unsigned value, atomic_bool *sleeps) {
    while (atomic_load_explicit(place, memory_order_acquire) == value) {
        if (waiting == POLLING) {
            __builtin_ia32_pause();
            continue;
        }
        /* Sequentially consistent, as is the other side: one of the two sees what the other has stored. */
        atomic_store(sleeps, true);
        if (atomic_load(place) == value) syscall(SYS_futex, place, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
        atomic_store_explicit(sleeps, false, memory_order_relaxed);
    }
}

/* Stores `value` and wakes whoever sleeps until `*place` changes. */
static void advance(enum waiting waiting, atomic_uint *place, unsigned value, atomic_bool *sleeps) {
    if (waiting == POLLING) {
        atomic_store_explicit(place, value, memory_order_release);
        return;
    }
    atomic_store(place, value);
    if (atomic_load(sleeps)) syscall(SYS_futex, place, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void send(struct ring *ring, uint64_t message) {
    unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    wait_while(ring->waiting, &ring->head, tail - SLOTS, &ring->sender_sleeps);
    ring->slots[tail % SLOTS] = message;
    advance(ring->waiting, &ring->tail, tail + 1, &ring->receiver_sleeps);
}

static uint64_t receive(struct ring *ring) {
    unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    wait_while(ring->waiting, &ring->tail, head, &ring->receiver_sleeps);
    uint64_t message = ring->slots[head % SLOTS];
    advance(ring->waiting, &ring->head, head + 1, &ring->sender_sleeps);
    return message;
}

/* A ring in each direction, empty. */
static struct pair {
    struct ring there, back;
} pair;

static void clear_pair(enum waiting waiting) {
    memset(&pair, 0, sizeof pair);
    pair.there.waiting = pair.back.waiting = waiting;
}

/* ---- The parts ---- */

/* Two threads of a processor yield to each other. An operation is a switch. The policy is first in, first out, because
 * by the usual one sched_yield mostly comes back to the thread that called it, and a switch costs several calls. */
static atomic_bool yielder_stops;
static volatile int last_to_run;
static volatile uint64_t switches;

static void run_and_yield(int me) {
    if (last_to_run != me) {
        last_to_run = me;
        switches++;
    }
    sched_yield();
}

static void *yielder(void *argument) {
    while (!atomic_load_explicit(&yielder_stops, memory_order_relaxed)) run_and_yield(1);
    return argument;
}

static void set_policy(int policy, int priority) {
    struct sched_param param = {.sched_priority = priority};
    if (pthread_setschedparam(pthread_self(), policy, &param) != 0) die("pthread_setschedparam");
}

static void part_yield(const char *part) {
    enum { TURNS = 100000 };
    pthread_t other;
    atomic_store(&yielder_stops, false);
    set_policy(SCHED_FIFO, 1); /* inherited by the other thread */
    start(&other, 0, yielder, NULL);
    for (int i = 0; i < TURNS / 10; i++) run_and_yield(0);
    uint64_t before = switches, begin = now();
    BEGIN();
    for (int i = 0; i < TURNS; i++) run_and_yield(0);
    END();
    uint64_t end = now(), counted = switches - before;
    atomic_store(&yielder_stops, true);
    join(other);
    set_policy(SCHED_OTHER, 0);
    report(part, counted, end - begin);
}

static void *nothing(void *argument) { return argument; }

static void spawn_and_join(const char *part, int processor) {
    enum { THREADS = 3000 };
    pthread_t thread;
    uint64_t begin = 0;
    for (int i = -THREADS / 10; i < THREADS; i++) {
        if (i == 0) {
            begin = now();
            BEGIN();
        }
        start(&thread, processor, nothing, NULL);
        join(thread);
    }
    END();
    report(part, THREADS, now() - begin);
}

static void part_spawn(const char *part) { spawn_and_join(part, 0); }
static void part_spawn_other(const char *part) { spawn_and_join(part, 1); }

/* Sends back what it gets, until it gets a zero. */
static void *echo(void *argument) {
    uint64_t message;
    do {
        message = receive(&pair.there);
        send(&pair.back, message);
    } while (message != 0);
    return argument;
}

static void round_trips(const char *part, enum waiting waiting, int trips) {
    pthread_t other;
    clear_pair(waiting);
    start(&other, 1, echo, NULL);
    uint64_t begin = 0;
    for (int i = -trips / 10; i < trips; i++) {
        if (i == 0) {
            begin = now();
            BEGIN();
        }
        send(&pair.there, 1);
        receive(&pair.back);
    }
    END();
    uint64_t end = now();
    send(&pair.there, 0);
    join(other);
    report(part, (uint64_t)trips, end - begin);
}

static void part_ping_poll(const char *part) { round_trips(part, POLLING, 100000); }
static void part_ping_sleep(const char *part) { round_trips(part, SLEEPING, 10000); }

/* The time from the sending of a message, to a thread on a halted processor, until that thread has it. */
enum { WAKES = 200 };
static uint64_t samples[WAKES];

static void *woken(void *argument) {
    for (int i = 0; i < WAKES; i++) {
        uint64_t sent = receive(&pair.there);
        samples[i] = now() - sent;
    }
    return argument;
}

static void part_wake(const char *part) {
    pthread_t other;
    clear_pair(SLEEPING);
    start(&other, 1, woken, NULL);
    sleep_ns(20000000);
    BEGIN();
    for (int i = 0; i < WAKES; i++) {
        send(&pair.there, now());
        sleep_ns(2000000);
    }
    END();
    join(other);
    report_spread(part, samples, WAKES);
}

enum { OBJECT = 64, OBJECTS = 4096 };

static void part_alloc(const char *part) {
    enum { TIMES = 1000000 };
    void *volatile object;
    uint64_t begin = 0;
    for (int i = -TIMES / 10; i < TIMES; i++) {
        if (i == 0) {
            begin = now();
            BEGIN();
        }
        object = malloc(OBJECT);
        free(object);
    }
    END();
    report(part, TIMES, now() - begin);
}

/* Processor 0 allocates a batch of objects, processor 1 frees it, and so on in turn. */
static void *objects[OBJECTS];

static void *freer(void *argument) {
    while (receive(&pair.there) != 0) {
        for (int i = 0; i < OBJECTS; i++) free(objects[i]);
        send(&pair.back, 1);
    }
    return argument;
}

static void part_alloc_other(const char *part) {
    enum { BATCHES = 200 };
    pthread_t other;
    clear_pair(SLEEPING);
    start(&other, 1, freer, NULL);
    uint64_t begin = 0;
    for (int batch = -BATCHES / 10; batch < BATCHES; batch++) {
        if (batch == 0) {
            begin = now();
            BEGIN();
        }
        for (int i = 0; i < OBJECTS; i++) objects[i] = malloc(OBJECT);
        send(&pair.there, 1);
        receive(&pair.back);
    }
    END();
    uint64_t end = now();
    send(&pair.there, 0);
    join(other);
    report(part, (uint64_t)BATCHES * OBJECTS, end - begin);
}

/* Messages one after another from processor 0 to processor 1, as fast as they go. A zero asks for an answer. */
static void *sink(void *argument) {
    for (int answers = 0; answers < 2;) {
        if (receive(&pair.there) != 0) continue;
        send(&pair.back, 1);
        answers++;
    }
    return argument;
}

static void part_stream(const char *part) {
    enum { MESSAGES = 500000 };
    pthread_t other;
    clear_pair(SLEEPING);
    start(&other, 1, sink, NULL);
    for (int i = 0; i < MESSAGES / 10; i++) send(&pair.there, 1);
    send(&pair.there, 0);
    receive(&pair.back);
    uint64_t begin = now();
    BEGIN();
    for (int i = 1; i < MESSAGES; i++) send(&pair.there, 1);
    send(&pair.there, 0);
    receive(&pair.back);
    END();
    uint64_t end = now();
    join(other);
    report(part, MESSAGES, end - begin);
}

/* A message goes through the ring, sent and received by one thread, half a ring at a time: what it costs when nobody
 * waits for anybody. */
static void part_message(const char *part) {
    enum { ROUNDS = 4000, BATCH = SLOTS / 2 };
    uint64_t begin = 0;
    clear_pair(SLEEPING);
    for (int round = -ROUNDS / 10; round < ROUNDS; round++) {
        if (round == 0) {
            begin = now();
            BEGIN();
        }
        for (uint64_t i = 0; i < BATCH; i++) send(&pair.there, i);
        for (uint64_t i = 0; i < BATCH; i++)
            if (receive(&pair.there) != i) die("a message is another one");
    }
    END();
    report(part, (uint64_t)ROUNDS * BATCH, now() - begin);
}

/* How late a thread is that sleeps for 10 ms while nothing else happens. */
static void part_sleep(const char *part) {
    enum { SLEEP_NS = 10000000 };
    sleep_ns(SLEEP_NS);
    BEGIN();
    for (int i = 0; i < WAKES; i++) {
        uint64_t begin = now();
        sleep_ns(SLEEP_NS);
        samples[i] = now() - begin - SLEEP_NS;
    }
    END();
    report_spread(part, samples, WAKES);
}

static const struct {
    const char *name;
    void (*run)(const char *);
    long processors;
} parts[] = {
    {"yield", part_yield, 1},
    {"spawn", part_spawn, 1},
    {"spawn-other", part_spawn_other, 2},
    {"ping-poll", part_ping_poll, 2},
    {"ping-sleep", part_ping_sleep, 2},
    {"wake", part_wake, 2},
    {"alloc", part_alloc, 1},
    {"alloc-other", part_alloc_other, 2},
    {"message", part_message, 1},
    {"stream", part_stream, 2},
    {"sleep", part_sleep, 1},
};

/* Whether `name` is one of the words between the commas of `list`. */
static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

int main(void) {
    puts("LB-UP");
    /* Before the pinning: without /sys, the set of allowed processors is all that the C library can look at. */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
    if (prctl(PR_SET_TIMERSLACK, 1UL) != 0) die("prctl(PR_SET_TIMERSLACK)");
    const char *list = getenv("parts");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bool is_wanted = list == NULL || listed(list, parts[i].name);
        if (is_wanted && parts[i].processors <= processors) parts[i].run(parts[i].name);
        fflush(stdout);
    }
    puts("LB-END");
    finish();
}
