// A pool of threads that share out numbered tasks.
#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace evobit {
namespace {

constexpr int32_t MAX_THREADS = 256;
constexpr int SPINS = 4000;  // some 20 to 100 us: the time between two layers of a network

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// A range's end and its next task in one number, so that taking a task is one exchange.
constexpr int FIELD = 32;
constexpr uint64_t FIELD_MASK = (uint64_t{1} << FIELD) - 1;

// Alone on its cache line: every thread works on its own most of the time.
struct alignas(64) Range {
    std::atomic<uint64_t> cursor{0};  // end << FIELD | next
};

struct Pool {
    std::mutex busy;  // held by the caller whose tasks run
    std::mutex sleep;
    std::condition_variable wake;
    std::atomic<uint64_t> job{0};
    std::atomic<int32_t> done{0}, num_ranges{0};
    Range ranges[MAX_THREADS];
    int32_t workers = 0;
    // Those of the running job while one of its tasks is not done.
    void (*task)(void *, int32_t) = nullptr;
    void *context = nullptr;

    // Takes and runs tasks until none is left: those of the own range first, so that a thread
    // meets the same weights in every call and has them in its cache; then those of others. A
    // worker that comes late finds none, and nobody waits for it.
    void share(int32_t own) {
        const int32_t count = num_ranges.load(std::memory_order_acquire);
        for (int32_t i = 0; i < count; ++i) {
            std::atomic<uint64_t> &cursor = ranges[(own + i) % count].cursor;
            uint64_t at = cursor.load(std::memory_order_acquire);
            while ((at & FIELD_MASK) < (at >> FIELD)) {
                if (!cursor.compare_exchange_weak(at, at + 1, std::memory_order_acq_rel)) continue;
                task(context, static_cast<int32_t>(at & FIELD_MASK));
                done.fetch_add(1, std::memory_order_release);
                at = cursor.load(std::memory_order_acquire);
            }
        }
    }

    void work(int32_t number) {
        for (uint64_t seen = 0;;) {
            for (int spins = 0; job.load() == seen && spins < SPINS; ++spins) relax();
            if (job.load() == seen) {
                std::unique_lock<std::mutex> lock(sleep);
                wake.wait(lock, [&] { return job.load() != seen; });
            }
            seen = job.load();
            if (number < num_ranges.load(std::memory_order_acquire)) share(number);
        }
    }

    // Fewer where the system gives no more: the tasks are then shared by those there are.
    void start(int32_t wanted) {
        try {
            for (; workers < wanted; ++workers) {
                const int32_t number = workers + 1;  // the caller is 0
                std::thread([this, number] { work(number); }).detach();
            }
        } catch (const std::system_error &) {
        }
    }

    void run(int32_t count, int32_t threads, void (*function)(void *, int32_t), void *argument) {
        task = function;
        context = argument;
        done.store(0, std::memory_order_relaxed);
        num_ranges.store(threads, std::memory_order_release);
        for (int32_t i = 0; i < threads; ++i) {
            const uint64_t begin = static_cast<int64_t>(count) * i / threads;
            const uint64_t end = static_cast<int64_t>(count) * (i + 1) / threads;
            ranges[i].cursor.store(end << FIELD | begin, std::memory_order_release);
        }
        {
            std::lock_guard<std::mutex> lock(sleep);
            job.fetch_add(1);
        }
        start(threads - 1);
        wake.notify_all();
        share(0);
        for (int spins = 0; done.load(std::memory_order_acquire) != count;) {
            if (++spins < SPINS) {
                relax();
            } else {
                std::this_thread::yield();
            }
        }
    }
};

// Never destroyed: its threads sleep until the process ends.
Pool *pool = new Pool;
std::atomic<int32_t> num_threads{1};

#if !defined(_WIN32)
// A forked child has the memory of the pool and none of its threads.
const int registered = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif

}  // namespace

void set_threads(int32_t threads) {
    num_threads.store(threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads);
}

int32_t get_threads() { return num_threads.load(); }

int32_t threads_for(double ns, double ns_per_thread) {
    const double worth = ns / ns_per_thread;
    const int32_t threads = get_threads();
    return worth < 2.0 ? 1 : worth < threads ? static_cast<int32_t>(worth) : threads;
}

void run_tasks(int32_t count, int32_t threads, void (*task)(void *, int32_t), void *context) {
    if (threads > 1 && count > 1 && pool->busy.try_lock()) {
        std::lock_guard<std::mutex> lock(pool->busy, std::adopt_lock);
        pool->run(count, threads < count ? threads : count, task, context);
        return;
    }
    for (int32_t i = 0; i < count; ++i) task(context, i);
}

}  // namespace evobit
