/* A libcuda.so.1 with the declarations of cuda.h that bench/gpu_program.py calls, over the processor: each function
   checks what it is given. TARGET, a macro: the only target whose PTX it takes. The GPUs are those that
   CUDA_VISIBLE_DEVICES names by UUID. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT ((void *)0xC0FFEE00C0FFEE00)
#define MODULE ((void *)0xAB1E0000AB1E0000)
#define FUNCTION ((void *)0xF00D0000F00D0000)
enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, INVALID_PTX = 218, NOT_FOUND = 500 };

static int is_initialized;
static void *current;
static float *memory;
static size_t size;

int cuInit(unsigned int flags) {
    is_initialized = flags == 0;
    return is_initialized ? OK : INVALID_VALUE;
}

int cuDeviceGetCount(int *count) {
    const char *names = getenv("CUDA_VISIBLE_DEVICES");
    *count = names != NULL && *names != 0;
    for (; names != NULL && (names = strchr(names, ',')) != NULL; names++)
        ++*count;
    return is_initialized ? OK : NOT_INITIALIZED;
}

int cuDeviceGet(int *device, int ordinal) {
    int count;
    cuDeviceGetCount(&count);
    *device = ordinal;
    return ordinal < count ? OK : INVALID_VALUE;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "made up %d", device);
    return OK;
}

int cuDeviceGetUuid(unsigned char uuid[16], int device) {
    const char *digit = getenv("CUDA_VISIBLE_DEVICES") + strlen("GPU-");
    unsigned int byte;
    if (device != 0)
        return INVALID_VALUE;
    for (int at = 0; at < 16; at++, digit += 2) {
        digit += *digit == '-';
        if (sscanf(digit, "%2x", &byte) != 1)
            return INVALID_VALUE;
        uuid[at] = (unsigned char)byte;
    }
    return OK;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = CONTEXT;
    return is_initialized && device == 0 ? OK : INVALID_VALUE;
}

int cuCtxSetCurrent(void *context) {
    current = context;
    return context == CONTEXT ? OK : INVALID_CONTEXT;
}

int cuModuleLoadData(void **module, const void *image) {
    *module = MODULE;
    return current == CONTEXT && strstr(image, "\n.target " TARGET "\n") != NULL ? OK : INVALID_PTX;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = FUNCTION;
    return module == MODULE && strcmp(name, "step") == 0 ? OK : NOT_FOUND;
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    memory = malloc(size = bytes);
    *address = (uint64_t)memory;
    return memory != NULL ? OK : INVALID_VALUE;
}

int cuMemsetD32_v2(uint64_t address, unsigned int value, size_t count) {
    if ((float *)address != memory || 4 * count != size)
        return INVALID_VALUE;
    for (size_t at = 0; at < count; at++)
        memcpy(memory + at, &value, 4);
    return OK;
}

int cuLaunchKernel(void *function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,
                   unsigned int block_y, unsigned int block_z, unsigned int shared, void *stream, void **parameters,
                   void **extra) {
    float *weights = *(float **)parameters[0];
    uint32_t count = *(uint32_t *)parameters[1];
    int is_flat = grid_y == 1 && grid_z == 1 && block_y == 1 && block_z == 1 && block_x <= 1024;
    if (function != FUNCTION || !is_flat || shared != 0 || stream != NULL || extra != NULL || weights != memory)
        return INVALID_VALUE;
    for (size_t at = 0; at < count && at < (size_t)grid_x * block_x; at++)
        weights[at] = weights[at] * 0.5f + 1.0f;
    return OK;
}

int cuMemcpyDtoH_v2(void *host, uint64_t address, size_t bytes) {
    if ((float *)address < memory || address + bytes > (uint64_t)memory + size)
        return INVALID_VALUE;
    memcpy(host, (void *)address, bytes);
    return OK;
}
