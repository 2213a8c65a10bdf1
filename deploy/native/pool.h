// A pool of threads that share out numbered tasks.
#pragma once

#include <stdint.h>

namespace evobit {

// Threads that `run_tasks` may use, the calling one included.
void set_threads(int32_t threads);
int32_t get_threads();

// Threads for work of `ns`, at most one for every `ns_per_thread` of it: waking a thread costs as
// much as a few microseconds of work.
int32_t threads_for(double ns, double ns_per_thread);

// Calls task(context, i) once for every i in [0, count), on up to `threads` threads, and returns
// when all are done. A second caller at the same time runs its tasks alone.
void run_tasks(int32_t count, int32_t threads, void (*task)(void *context, int32_t i),
               void *context);

}  // namespace evobit
