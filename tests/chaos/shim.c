/* A slow disk and a wrong clock for one process, loaded before libc (LD_PRELOAD).
   While the file CHAOS_SLOW is there, every fsync takes CHAOS_SLOW_MS longer.
   The clock on the wall is off by CHAOS_SKEW_MS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static void wait_for_disk(void)
{
    const char *flag = getenv("CHAOS_SLOW");
    if (flag && access(flag, F_OK) == 0)
        usleep((useconds_t)number("CHAOS_SLOW_MS") * 1000);
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real(file);
}

int fdatasync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += number("CHAOS_SKEW_MS") / 1000;
    return result;
}
