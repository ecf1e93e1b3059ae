// Looks for what is not there, and at what there is: files, environment, arguments, clock, chance.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) return -1;
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int count, char **arguments) {
  printf("arguments: %d, the first is %s\n", count, arguments[0]);
  printf("HOME is %s\n", getenv("HOME") ? "set" : "not set");
  printf("fopen: %s\n", fopen("/etc/passwd", "r") ? "opened" : strerror(errno));
  printf("open for writing: %s\n",
         open("out.txt", O_WRONLY | O_CREAT, 0600) >= 0 ? "opened" : strerror(errno));
  printf("mkdir: %s\n", mkdir("d", 0700) == 0 ? "made" : strerror(errno));
  printf("unlink: %s\n", unlink("f") == 0 ? "gone" : strerror(errno));
  struct stat status;
  printf("stat: %s\n", stat("/", &status) == 0 ? "found" : strerror(errno));
  printf("fstat of standard output: %s\n", fstat(1, &status) == 0 ? "known" : strerror(errno));
  printf("lseek: %s\n", lseek(0, 0, SEEK_CUR) >= 0 ? "moved" : strerror(errno));
  printf("isatty: %d\n", isatty(1));
  long long first = now_ns(CLOCK_REALTIME), second = now_ns(CLOCK_MONOTONIC);
  printf("clock: %lld, %lld\n", first, second);
  struct timespec second_long = {1, 500};
  printf("nanosleep: %d\n", nanosleep(&second_long, NULL));
  printf("slept for %lld\n", now_ns(CLOCK_MONOTONIC) - second);
  usleep(2000);
  time_t stamp = time(NULL);
  char date[32];
  strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime(&stamp));
  printf("date: %s\n", date);
  unsigned char random[16];
  printf("getentropy: %d,", getentropy(random, sizeof random));
  for (unsigned at = 0; at < sizeof random; at++) printf(" %02x", random[at]);
  printf("\n");
  char *end;
  printf("floats: %g %.17g %a %e\n", 0.1, 1.0 / 3, strtod("0x1.8p3", &end), -1e300 * 10);
  int code = 0;
  if (scanf("%d", &code) == 1) fprintf(stderr, "leaving with %d\n", code);
  exit(code);
}
