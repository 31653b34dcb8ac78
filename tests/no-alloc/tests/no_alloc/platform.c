/* Plays the platform and the device for the driver in libentropy.a; see main.rs.
 *
 * The device's memory has other addresses than the program's, so that a driver that mixes them up is caught, and the
 * device reaches nothing else. Everything is checked; the first check that fails ends the program. */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "entropy.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- the platform ---- */

uint64_t platform_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void platform_panic(void) {
    fputs("the driver panicked\n", stderr);
    exit(2);
}

/* ---- the device: registers that are plain memory (VIRTIO 1.3, 4.2.2) ---- */

enum {
    MAGIC = 0x000 / 4,
    VERSION = 0x004 / 4,
    DEVICE_ID = 0x008 / 4,
    DEVICE_FEATURES = 0x010 / 4,
    DRIVER_FEATURES = 0x020 / 4,
    DRIVER_FEATURES_SELECT = 0x024 / 4,
    QUEUE_SIZE_MAX = 0x034 / 4,
    QUEUE_SIZE = 0x038 / 4,
    QUEUE_READY = 0x044 / 4,
    QUEUE_NOTIFY = 0x050 / 4,
    STATUS = 0x070 / 4,
    QUEUE_DESCRIPTORS = 0x080 / 4,
    QUEUE_AVAILABLE = 0x090 / 4,
    QUEUE_USED = 0x0a0 / 4,
};

#define NOTHING 0xffffffffu

static _Alignas(4096) volatile uint32_t registers[0x200 / 4];

#define MEMORY_LEN (16 * 4096)
#define MEMORY_BUS UINT64_C(0x7000000000)

static _Alignas(4096) uint8_t memory[MEMORY_LEN];

static uint16_t next_available, next_used;

/* Where `len` bytes at a bus address are. */
static void *at(uint64_t bus, uint64_t len) {
    CHECK(bus >= MEMORY_BUS && len <= MEMORY_LEN && bus - MEMORY_BUS <= MEMORY_LEN - len);
    return memory + (bus - MEMORY_BUS);
}

static uint64_t address(int reg) {
    return registers[reg] | (uint64_t)registers[reg + 1] << 32;
}

/* As after power-on. */
static void power_on(void) {
    memset((void *)registers, 0, sizeof registers);
    registers[MAGIC] = 0x74726976;
    registers[VERSION] = 2;
    registers[DEVICE_ID] = 4;
    /* Bit 0 of either half: a feature that this device type does not have, and VERSION_1. */
    registers[DEVICE_FEATURES] = 1;
    registers[QUEUE_SIZE_MAX] = 16;
    registers[QUEUE_NOTIFY] = NOTHING;
    next_available = next_used = 0;
}

/* Takes the next buffer that the driver made available; 0 if there is none. */
static int pop(uint16_t *head, uint8_t **bytes, uint32_t *len) {
    uint32_t size = registers[QUEUE_SIZE];
    uint16_t *available = at(address(QUEUE_AVAILABLE), 4 + 2 * size);
    if (__atomic_load_n(&available[1], __ATOMIC_ACQUIRE) == next_available)
        return 0;
    *head = available[2 + next_available++ % size];
    CHECK(*head < size);
    uint8_t *descriptor = at(address(QUEUE_DESCRIPTORS) + 16 * *head, 16);
    uint64_t buffer;
    uint16_t flags;
    memcpy(&buffer, descriptor, 8);
    memcpy(len, descriptor + 8, 4);
    memcpy(&flags, descriptor + 12, 2);
    CHECK(flags == 2); /* to be written by the device, and alone */
    *bytes = at(buffer, *len);
    return 1;
}

static void push(uint32_t id, uint32_t len) {
    uint32_t size = registers[QUEUE_SIZE];
    uint8_t *used = at(address(QUEUE_USED), 4 + 8 * size);
    uint32_t element[2] = {id, len};
    memcpy(used + 4 + 8 * (next_used % size), element, 8);
    __atomic_store_n((uint16_t *)(used + 2), ++next_used, __ATOMIC_RELEASE);
}

/* ---- the program ---- */

static int init(void) {
    return entropy_init((void *)registers, sizeof registers, memory, MEMORY_BUS, MEMORY_LEN);
}

/* What byte `i` of the answer to request `number` is. */
static uint8_t expected(uint32_t number, uint32_t i) {
    return (uint8_t)(number * 7 + i * 13 + 1);
}

static void obey(uint32_t requests) {
    uint32_t asked = 0, answered = 0, taken = 0;
    while (taken < requests) {
        CHECK(entropy_request() == 8);
        asked = taken + 8;
        CHECK(registers[QUEUE_NOTIFY] == 0);
        registers[QUEUE_NOTIFY] = NOTHING;
        uint16_t head;
        uint8_t *bytes;
        uint32_t len;
        while (pop(&head, &bytes, &len)) {
            CHECK(len == 256);
            uint32_t written = 1 + answered % len;
            for (uint32_t i = 0; i < written; i++)
                bytes[i] = expected(answered, i);
            answered++;
            push(head, written);
        }
        CHECK(answered == asked);
        for (; taken < asked; taken++) {
            uint8_t out[256];
            int count = entropy_take(out, sizeof out);
            CHECK(count == (int)(1 + taken % 256));
            for (int i = 0; i < count; i++)
                CHECK(out[i] == expected(taken, (uint32_t)i));
        }
        uint8_t nothing;
        CHECK(entropy_take(&nothing, 1) == 0);
    }
}

int main(void) {
    power_on();
    CHECK(entropy_request() == ENTROPY_STATE);
    CHECK(entropy_init(NULL, 0, memory, MEMORY_BUS, MEMORY_LEN) == ENTROPY_INVALID);
    CHECK(entropy_init((void *)registers, sizeof registers, memory + 1, MEMORY_BUS, MEMORY_LEN) == ENTROPY_INVALID);
    registers[DEVICE_ID] = 1;
    CHECK(init() == ENTROPY_NO_DEVICE);

    power_on();
    CHECK(init() == 0);
    CHECK(init() == ENTROPY_STATE);
    CHECK(registers[STATUS] == 0xf); /* ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK */
    CHECK(registers[DRIVER_FEATURES_SELECT] == 1 && registers[DRIVER_FEATURES] == 1);
    CHECK(registers[QUEUE_READY] == 1 && registers[QUEUE_SIZE] == 8);
    obey(80000); /* the indices of the rings wrap at 65,536 */
    puts("obedient: 80000 requests");
    CHECK(entropy_shutdown() == 0);
    CHECK(registers[STATUS] == 0);
    CHECK(entropy_shutdown() == ENTROPY_STATE);

    /* More often than there is memory for, if any of it were lost. */
    for (int round = 0; round < 40; round++) {
        power_on();
        CHECK(init() == 0);
        CHECK(entropy_request() == 8);
        uint16_t head;
        uint8_t *bytes, out[256];
        uint32_t len;
        CHECK(pop(&head, &bytes, &len));
        push(round % 2 ? 8u : 0x10000u | head, 16); /* no such slot; one that is cut down to a slot in flight */
        CHECK(entropy_take(out, sizeof out) == ENTROPY_FAULT);
        CHECK(entropy_request() == ENTROPY_FAULT);
        CHECK(entropy_shutdown() == 0);
    }
    power_on();
    CHECK(init() == 0);
    obey(800);
    CHECK(entropy_shutdown() == 0);
    puts("lying: fault, reset, back in service");
    return 0;
}
