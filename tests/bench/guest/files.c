/* What files cost on Linux: the other side of `bench fs`, in the place of `lbench` in the guest's initial file system.
 *
 *     lbench fsseq    PATH BYTES TOTAL    opened, read in order in blocks
 *     lbench fsdirect PATH BYTES TOTAL    the same past all caches, into memory of the program
 *     lbench fsrand   PATH BYTES TIMES    blocks at random places
 *     lbench fssmall  DIR FILES           DIR/f00000 and so on: opened, 4 KiB read, closed
 *     lbench fsagain  PATH TIMES          one file of 4 KiB, again and again: opened, read, closed
 *     lbench fsstat   DIR FILES           attributes of DIR/f00000 and so on
 *     lbench fslist   DIR TIMES           names of a directory
 *     lbench fscreate DIR TIMES           a file created and closed, then removed
 *     lbench fswrite  PATH BYTES TOTAL    a file created and written in order in blocks
 *     lbench copy     BYTES TOTAL         from memory to memory, for comparison
 *
 * Each is measured between two markers, instructions that the counting plugin knows (plugin/counters.c), after the caches
 * have been dropped; then a line says how often the operation was done and how long that took. `LB-ERR <why>` is the line of
 * an unsuccessful one. kernel/examples/fs-bench.rs does the same on Toro.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BEGIN() __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00; .long 0x4d4b0001" ::: "memory")
#define END() __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00; .long 0x4d4b0002" ::: "memory")

enum { SMALL = 4096 };

static uint64_t started;

static void die(const char *what) {
    printf("LB-ERR %s\n", what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void drop_caches(void) {
    sync();
    int file = open("/proc/sys/vm/drop_caches", O_WRONLY);
    if (file < 0 || write(file, "3", 1) != 1) die("drop_caches");
    close(file);
}

#define START() do { drop_caches(); started = now(); BEGIN(); } while (0)

static void stop(const char *name, long bytes, long times) {
    END();
    uint64_t ns = now() - started;
    if (bytes) printf("LB %s bs=%ld n=%ld ns=%lu\n", name, bytes, times, ns);
    else printf("LB %s n=%ld ns=%lu\n", name, times, ns);
}

static char *memory(long bytes) {
    char *block = aligned_alloc(4096, (size_t)(bytes + 4095) & ~(size_t)4095);
    if (!block) die("memory");
    memset(block, 1, (size_t)bytes);
    return block;
}

static void in_order(const char *name, const char *path, long bytes, long total, int flags) {
    char *block = memory(bytes);
    START();
    int file = open(path, O_RDONLY | flags);
    if (file < 0) die(path);
    for (long done = 0; done < total; done += bytes)
        if (read(file, block, (size_t)bytes) != bytes) die("short read");
    close(file);
    stop(name, bytes, total / bytes);
}

/* Marsaglia's xorshift64; Toro goes to the same places. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void at_random(const char *path, long bytes, long times) {
    char *block = memory(bytes);
    struct stat attributes;
    uint64_t state = 0x9e3779b97f4a7c15;
    if (stat(path, &attributes) || attributes.st_size < bytes) die(path);
    uint64_t blocks = (uint64_t)(attributes.st_size / bytes);
    START();
    int file = open(path, O_RDONLY);
    if (file < 0) die(path);
    for (long number = 0; number < times; number++) {
        off_t place = (off_t)(next_random(&state) % blocks) * bytes;
        if (pread(file, block, (size_t)bytes, place) != bytes) die("short read");
    }
    close(file);
    stop("fsrand", bytes, times);
}

static void read_small(const char *path) {
    static char block[SMALL];
    int file = open(path, O_RDONLY);
    if (file < 0) die(path);
    if (read(file, block, sizeof block) != sizeof block) die("short read");
    close(file);
}

static void small(const char *directory, long files) {
    char path[256];
    START();
    for (long number = 0; number < files; number++) {
        snprintf(path, sizeof path, "%s/f%05ld", directory, number);
        read_small(path);
    }
    stop("fssmall", 0, files);
}

static void again(const char *path, long times) {
    START();
    for (long number = 0; number < times; number++) read_small(path);
    stop("fsagain", 0, times);
}

static void attributes(const char *directory, long files) {
    char path[256];
    struct stat attributes;
    START();
    for (long number = 0; number < files; number++) {
        snprintf(path, sizeof path, "%s/f%05ld", directory, number);
        if (stat(path, &attributes)) die(path);
    }
    stop("fsstat", 0, files);
}

static void list(const char *path, long times) {
    long names = 0;
    START();
    for (long number = 0; number < times; number++) {
        DIR *directory = opendir(path);
        if (!directory) die(path);
        while (readdir(directory)) names++;
        closedir(directory);
    }
    stop("fslist", 0, times);
    if (!names) die("no names");
}

static void create(const char *directory, long times) {
    char path[256];
    START();
    for (long number = 0; number < times; number++) {
        snprintf(path, sizeof path, "%s/new%05ld", directory, number);
        int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (file < 0) die(path);
        close(file);
        if (unlink(path)) die(path);
    }
    stop("fscreate", 0, times);
}

static void in_order_written(const char *path, long bytes, long total) {
    char *block = memory(bytes);
    START();
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) die(path);
    for (long done = 0; done < total; done += bytes)
        if (write(file, block, (size_t)bytes) != bytes) die("short write");
    close(file);
    stop("fswrite", bytes, total / bytes);
}

static void copy(long bytes, long total) {
    char *from = memory(bytes), *to = memory(bytes);
    START();
    for (long done = 0; done < total; done += bytes) {
        memcpy(to, from, (size_t)bytes);
        /* Or the compiler sees that once is enough. */
        __asm__ volatile("" ::"r"(to), "r"(from) : "memory");
    }
    stop("copy", bytes, total / bytes);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *verb = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    long first = argc > 3 ? atol(argv[3]) : 0, second = argc > 4 ? atol(argv[4]) : 0;
    if (!strcmp(verb, "fsseq") && second > 0) in_order(verb, path, first, second, 0);
    else if (!strcmp(verb, "fsdirect") && second > 0) in_order(verb, path, first, second, O_DIRECT);
    else if (!strcmp(verb, "fsrand") && second > 0) at_random(path, first, second);
    else if (!strcmp(verb, "fssmall") && first > 0) small(path, first);
    else if (!strcmp(verb, "fsagain") && first > 0) again(path, first);
    else if (!strcmp(verb, "fsstat") && first > 0) attributes(path, first);
    else if (!strcmp(verb, "fslist") && first > 0) list(path, first);
    else if (!strcmp(verb, "fscreate") && first > 0) create(path, first);
    else if (!strcmp(verb, "fswrite") && second > 0) in_order_written(path, first, second);
    else if (!strcmp(verb, "copy") && first > 0) copy(atol(path), first);
    else die("no such operation");
    return 0;
}
