/* The driver's calls that Baton makes, over this process's own memory: with the header's own prototypes where there is
   one, so that a compiler compares them, otherwise with the same ones written out. It notes what it was given. */
#include <stdlib.h>
#include <string.h>
#if __has_include(<cuda.h>)
#define HEADER 1
#include <cuda.h>
#else
#define HEADER 0
#include <stddef.h>
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef int CUpointer_attribute;
typedef struct { char bytes[16]; } CUuuid;
typedef struct { char reserved[64]; } CUipcMemHandle;
#define CUDA_SUCCESS 0
#define CUDA_ERROR_INVALID_VALUE 1
#define CUDA_ERROR_OUT_OF_MEMORY 2
#define CUDA_ERROR_INVALID_CONTEXT 201
#define cuDeviceGetUuid cuDeviceGetUuid_v2
#define cuMemAlloc cuMemAlloc_v2
#define cuMemFree cuMemFree_v2
#define cuIpcOpenMemHandle cuIpcOpenMemHandle_v2
#define cuCtxPushCurrent cuCtxPushCurrent_v2
#define cuCtxPopCurrent cuCtxPopCurrent_v2
#endif

int has_header = HEADER;
int num_current = 0;        /* contexts on the calling threads' stacks, all together */
int num_outside = 0;        /* calls that need a current context and had none */
int last_attribute = 0;
unsigned last_flags = 0;
unsigned long long last_stream = 0;
static _Thread_local int depth = 0;
static int context_of[4];

static CUresult within(void) {
  if (depth) return CUDA_SUCCESS;
  num_outside++;
  return CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuInit(unsigned int flags) { return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; }

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  *device = ordinal + 1000;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  if (device < 1000 || device > 1003) return CUDA_ERROR_INVALID_VALUE;
  *context = (CUcontext)&context_of[device - 1000];
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
  for (int at = 0; at < 16; at++) uuid->bytes[at] = (char)(16 * (device - 1000) + at);
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  if ((int *)context < context_of || (int *)context > context_of + 3) return CUDA_ERROR_INVALID_VALUE;
  depth++;
  num_current++;
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *context) {
  *context = (CUcontext)context_of;
  depth--;
  num_current--;
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t size) {
  void *taken = size < ((size_t)1 << 40) ? malloc(size) : NULL;
  *pointer = (CUdeviceptr)(size_t)taken;
  return within() ? CUDA_ERROR_INVALID_CONTEXT : taken ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFree(CUdeviceptr pointer) {
  free((void *)(size_t)pointer);
  return within();
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr pointer) {
  memset(handle->reserved, 0x5A, sizeof handle->reserved);
  memcpy(handle->reserved, &pointer, sizeof pointer);
  return within();
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *pointer, CUipcMemHandle handle, unsigned int flags) {
  last_flags = flags;
  if (handle.reserved[63] != 0x5A) return CUDA_ERROR_INVALID_VALUE;
  memcpy(pointer, handle.reserved, sizeof *pointer);
  return within();
}

CUresult cuIpcCloseMemHandle(CUdeviceptr pointer) { return pointer ? within() : CUDA_ERROR_INVALID_VALUE; }

CUresult cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t size, CUstream stream) {
  last_stream = (unsigned long long)(size_t)stream;
  memcpy((void *)(size_t)target, (void *)(size_t)source, size);
  return within();
}

CUresult cuPointerGetAttribute(void *found, CUpointer_attribute attribute, CUdeviceptr pointer) {
  last_attribute = (int)attribute;
  *(int *)found = 3;
  return pointer ? within() : CUDA_ERROR_INVALID_VALUE;
}
