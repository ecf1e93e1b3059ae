// Writes many lines: a million and more bytes of output from a few of input.
#include <math.h>
#include <stdio.h>

int main(void) {
  int count;
  if (scanf("%d", &count) != 1) return 1;
  for (int at = 1; at <= count; at++)
    printf("%06d %.6f %.9e %+08.3f\n", at, sqrt(at), sin(at) * exp(at % 50), fmod(at, 7) - 3.5);
  return fflush(stdout) == 0 ? 0 : 1;
}
