/* A fuzz target without the fuzzer: gives it each of the files named. */
#include "fuzz.h"

#define MAX_INPUT ((size_t)1 << 20)

int main (int argc, char **argv) {
  uint8_t *data = (uint8_t *)malloc(MAX_INPUT);
  CHECK(data != NULL);
  for (int i = 1; i < argc; i++) {
    fprintf(stderr, "%s\n", argv[i]);  /* the last one named is the one that fails */
    FILE *file = fopen(argv[i], "rb");
    CHECK(file != NULL);
    size_t size = fread(data, 1, MAX_INPUT, file);
    CHECK(!ferror(file));
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
  }
  free(data);
  printf("%d inputs\n", argc - 1);
  return 0;
}
