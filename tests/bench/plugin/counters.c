/* Counts what a guest executes: a TCG plugin for QEMU 7.2 and later.
 *
 * The counters live in a file that is mapped shared, so that whoever started QEMU reads them at any
 * moment, without signals or markers in the guest. The file is an array of 64-bit words in host order:
 *
 *     word 0              LAYOUT, once the plugin is running
 *     words 1..8          instructions that had been executed when the watched address was reached for the
 *                         first time; all ones until then
 *     words 16..79        instructions executed by each vCPU
 *     words 80..143       accesses to device registers in memory by each vCPU (with accesses=on)
 *     word 144            markers executed so far (with marks=on)
 *     words 145..208      port instructions executed by each vCPU (with ports=on)
 *     words 209..272      of the accesses to device registers in memory, those to the named device (with device=)
 *     words 273..336      of these, those that notify it of a queue
 *     word 337            blocks translated so far
 *     word 338            instructions in them
 *     words 512..12799    the first 1024 markers, twelve words each: the marker's number in the low half of the
 *                         first and the vCPU that executed it in the high half, then the instructions
 *                         executed by vCPUs 0 to 6 before it, then accesses to device registers in memory
 *                         and port instructions of all vCPUs, then words 337 and 338
 *
 * A marker is an instruction that does nothing, at any privilege level, and that no compiler emits:
 *
 *     0f 1f 84 00 imm32   nop dword [rax + rax * 1 + imm32], imm32 = 0x4d4b0000 | number
 *
 * so a guest says where a measured part begins and ends without leaving it. In a marker's record the count of
 * the vCPU that executed it is exact; another's is exact to the block that it is in the middle of.
 *
 * Counting is per translation block: its length is added when it is entered, so a block that a fault leaves
 * in the middle counts whole. Each vCPU has words of its own, hence no atomics. `rep` string instructions
 * count once per iteration, because QEMU executes them as a loop.
 *
 * Arguments: counters=PATH (must exist, 100 KiB), watch=HEX (up to 8 times), accesses=on, ports=on, marks=on,
 * device=TEXT: what the names of the device's registers contain, as QEMU calls them ("info mtree" shows them).
 *
 * Only the few functions used are declared. They kept their form in every version of the plugin interface, but
 * for one: from version 3 on, qemu_plugin_insn_data copies the bytes where it returned a pointer to them.
 * PLUGIN_API is the version to announce: 1 before QEMU 9.0, 2 from then on.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef PLUGIN_API
#define PLUGIN_API 1
#endif
#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
typedef uint64_t plugin_id;
typedef uint32_t memory_info;
typedef void (*execute_callback)(unsigned int vcpu, void *data);
typedef void (*memory_callback)(unsigned int vcpu, memory_info info, uint64_t address, void *data);

enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, execute_callback, int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, execute_callback, int, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, memory_callback, int, int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(memory_info, uint64_t);
extern bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
extern const char *qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *);

/* Its two forms; which one this QEMU has is known at run time. */
extern void qemu_plugin_insn_data(void);
typedef const void *(*instruction_bytes)(const struct qemu_plugin_insn *);
typedef size_t (*copy_instruction_bytes)(const struct qemu_plugin_insn *, void *, size_t);

/* The beginning of what QEMU says about itself; the rest does not matter here. */
struct about_qemu {
    const char *target;
    struct {
        int least, current;
    } interface;
};

EXPORT int qemu_plugin_version = PLUGIN_API;

enum { LAYOUT = 0x746f726f, WATCH = 1, WATCHES = 8, INSTRUCTIONS = 16, ACCESSES = 80, VCPUS = 64 };
enum { MARKS = 144, PORTS = 145, DEVICE = 209, NOTIFICATIONS = 273, BLOCKS = 337, TRANSLATED = 338 };
enum { LOG = 512, LOG_ENTRIES = 1024, ENTRY_WORDS = 12, ENTRY_VCPUS = 7 };
enum { FILE_SIZE = (LOG + LOG_ENTRIES * ENTRY_WORDS) * 8 };
enum { MARKER_SIZE = 8, NO_MARKER = -1 };

static volatile uint64_t *words;
static uint64_t watched[WATCHES];
static size_t watched_count;
static const char *device;
static bool count_accesses;
static bool count_ports;
static bool log_marks;
static bool bytes_are_copied;

static void on_block(unsigned int vcpu, void *data) {
    words[INSTRUCTIONS + vcpu % VCPUS] += (uintptr_t)data;
}

static void on_access(unsigned int vcpu, memory_info info, uint64_t address, void *data) {
    (void)data;
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (where == NULL || !qemu_plugin_hwaddr_is_io(where)) return;
    words[ACCESSES + vcpu % VCPUS] += 1;
    if (device == NULL) return;
    const char *name = qemu_plugin_hwaddr_device_name(where);
    if (name == NULL || strstr(name, device) == NULL) return;
    words[DEVICE + vcpu % VCPUS] += 1;
    if (strstr(name, "notify") != NULL) words[NOTIFICATIONS + vcpu % VCPUS] += 1;
}

static void on_port(unsigned int vcpu, void *data) {
    (void)data;
    words[PORTS + vcpu % VCPUS] += 1;
}

static uint64_t sum(int first) {
    uint64_t total = 0;
    for (int i = 0; i < VCPUS; i++) total += words[first + i];
    return total;
}

/* `data` is the watch in the low byte; above it, how many instructions of the block, already counted, are
 * still to come. */
static void on_watched(unsigned int vcpu, void *data) {
    (void)vcpu;
    uintptr_t packed = (uintptr_t)data;
    volatile uint64_t *slot = &words[WATCH + (packed & 0xff)];
    if (*slot != UINT64_MAX) return;
    *slot = sum(INSTRUCTIONS) - (packed >> 8);
}

/* `data` is the marker's number in the low 16 bits; above it as in `on_watched`. */
static void on_marker(unsigned int vcpu, void *data) {
    uintptr_t packed = (uintptr_t)data;
    uint64_t place = __atomic_fetch_add(&words[MARKS], 1, __ATOMIC_RELAXED);
    if (place >= LOG_ENTRIES) return;
    volatile uint64_t *entry = &words[LOG + place * ENTRY_WORDS];
    entry[0] = (uint64_t)vcpu << 32 | (packed & 0xffff);
    for (unsigned int i = 0; i < ENTRY_VCPUS; i++)
        entry[1 + i] = words[INSTRUCTIONS + i] - (i == vcpu ? packed >> 16 : 0);
    entry[1 + ENTRY_VCPUS] = sum(ACCESSES);
    entry[2 + ENTRY_VCPUS] = sum(PORTS);
    entry[3 + ENTRY_VCPUS] = words[BLOCKS];
    entry[4 + ENTRY_VCPUS] = words[TRANSLATED];
}

/* The first `most` bytes of an instruction, or as many as it has; says how many. */
static size_t bytes_of(const struct qemu_plugin_insn *instruction, uint8_t *bytes, size_t most) {
    size_t size = qemu_plugin_insn_size(instruction);
    if (size > most) size = most;
    if (bytes_are_copied) {
        copy_instruction_bytes copy = (copy_instruction_bytes)qemu_plugin_insn_data;
        return copy(instruction, bytes, size);
    }
    instruction_bytes whole = (instruction_bytes)qemu_plugin_insn_data;
    memcpy(bytes, whole(instruction), size);
    return size;
}

/* The number of the marker that this instruction is. */
static int marker(const struct qemu_plugin_insn *instruction) {
    if (qemu_plugin_insn_size(instruction) != MARKER_SIZE) return NO_MARKER;
    uint8_t bytes[MARKER_SIZE];
    if (bytes_of(instruction, bytes, MARKER_SIZE) != MARKER_SIZE) return NO_MARKER;
    static const uint8_t nop[] = {0x0f, 0x1f, 0x84, 0x00}, sign[] = {0x4b, 0x4d};
    if (memcmp(bytes, nop, sizeof nop) != 0 || memcmp(bytes + 6, sign, sizeof sign) != 0) return NO_MARKER;
    return bytes[4] | bytes[5] << 8;
}

/* Whether the instruction is one of IN, OUT, INS and OUTS: behind prefixes for width, repetition and registers. */
static bool is_port_access(const struct qemu_plugin_insn *instruction) {
    uint8_t bytes[4];
    size_t size = bytes_of(instruction, bytes, sizeof bytes), i = 0;
    while (i < size && (bytes[i] == 0x66 || bytes[i] == 0xf2 || bytes[i] == 0xf3 || (bytes[i] & 0xf0) == 0x40)) i++;
    if (i == size) return false;
    uint8_t code = bytes[i];
    return (code >= 0x6c && code <= 0x6f) || (code >= 0xe4 && code <= 0xe7) || (code >= 0xec && code <= 0xef);
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(block);
    /* vCPUs translate side by side. */
    __atomic_fetch_add(&words[BLOCKS], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&words[TRANSLATED], length, __ATOMIC_RELAXED);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, NO_REGISTERS, (void *)(uintptr_t)length);
    if (!count_accesses && !count_ports && !log_marks && watched_count == 0) return;
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        if (count_accesses)
            qemu_plugin_register_vcpu_mem_cb(instruction, on_access, NO_REGISTERS, READ_AND_WRITE, NULL);
        if (count_ports && is_port_access(instruction))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_port, NO_REGISTERS, NULL);
        for (size_t w = 0; w < watched_count; w++)
            if (qemu_plugin_insn_vaddr(instruction) == watched[w])
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_watched, NO_REGISTERS,
                                                       (void *)(uintptr_t)((length - i) << 8 | w));
        int number = log_marks ? marker(instruction) : NO_MARKER;
        if (number != NO_MARKER)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_marker, NO_REGISTERS,
                                                   (void *)(uintptr_t)((length - i) << 16 | number));
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    const struct about_qemu *qemu = info;
    bytes_are_copied = qemu->interface.current >= 3;
    const char *path = NULL;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "counters=", 9) == 0) path = argv[i] + 9;
        else if (strncmp(argv[i], "watch=", 6) == 0 && watched_count < WATCHES)
            watched[watched_count++] = strtoull(argv[i] + 6, NULL, 16);
        else if (strncmp(argv[i], "device=", 7) == 0) device = strdup(argv[i] + 7);
        else if (strcmp(argv[i], "accesses=on") == 0) count_accesses = true;
        else if (strcmp(argv[i], "ports=on") == 0) count_ports = true;
        else if (strcmp(argv[i], "marks=on") == 0) log_marks = true;
        else return -1;
    }
    int fd = path == NULL ? -1 : open(path, O_RDWR);
    if (fd < 0) return -1;
    void *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return -1;
    words = map;
    for (int w = 0; w < WATCHES; w++) words[WATCH + w] = UINT64_MAX;
    words[0] = LAYOUT;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
