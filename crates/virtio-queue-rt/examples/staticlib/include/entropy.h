/* The entropy device (VIRTIO 1.3, 5.4) over virtio-mmio: what the driver offers, and what it needs.
 *
 *   entropy_init -> { entropy_request, entropy_take }* -> entropy_shutdown -> entropy_init ...
 *
 * Every function may be called from any thread at any time: a call that meets another one answers ENTROPY_BUSY.
 */
#ifndef ENTROPY_H
#define ENTROPY_H

#include <stddef.h>
#include <stdint.h>

enum {
    /* The arguments cannot be right: null, not aligned, too short. */
    ENTROPY_INVALID = -1,
    /* Another call is under way. */
    ENTROPY_BUSY = -2,
    /* The driver runs already, or does not run yet. */
    ENTROPY_STATE = -3,
    /* There is no usable entropy device behind the registers. */
    ENTROPY_NO_DEVICE = -4,
    /* The memory is too small. */
    ENTROPY_NO_MEMORY = -5,
    /* The device broke the protocol; entropy_shutdown and entropy_init mend it. */
    ENTROPY_FAULT = -6,
    /* The device does not confirm its reset: its memory stays with it. */
    ENTROPY_TIMED_OUT = -7,
};

/* Takes the device into service. 0, or one of the codes above.
 *
 * `registers` are the `registers_len` bytes of the device's register block, mapped as device memory, at a multiple
 * of 8. `memory` is where rings and buffers go: `memory_len` bytes that nobody else uses from the first call on, at a
 * multiple of 4,096, which the device reaches at the address `memory_bus`. Later calls name the same memory. */
int entropy_init(void *registers, size_t registers_len, void *memory, uint64_t memory_bus, size_t memory_len);

/* Gives the device all free buffers to fill. How many it has now, or a code. */
int entropy_request(void);

/* Copies random bytes to `out`, at most `len`. How many; 0 if none have come yet; or a code. */
int entropy_take(void *out, size_t len);

/* Resets the device and takes all memory back. 0, or a code. */
int entropy_shutdown(void);

/* Provided by the platform: nanoseconds since some moment, never less than before. */
uint64_t platform_now(void);

/* Provided by the platform: where a bug in the driver ends. Does not return. */
void platform_panic(void);

#endif
