// Counts the lines, words and bytes of standard input, as wc does.
//
//   wordcount            <lines> <words> <bytes>
//   wordcount -l|-w|-c   only the lines, the words or the bytes
//
// Exit status: 0 done, 1 input or output failed, 2 the arguments make no sense.

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FAILED = 1, MISUSED = 2 };

// Large enough that the calls into the host cost nothing beside the counting.
enum { CHUNK_BYTES = 64 * 1024 };

struct counts {
    // 64 bits: an input may exceed the 4 GiB that a size_t of wasm32 can count.
    uint64_t lines, words, bytes;
};

// The six characters that separate words in the POSIX locale.
static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct counts count(FILE *input)
{
    static unsigned char chunk[CHUNK_BYTES];
    struct counts total = {0, 0, 0};
    bool in_word = false; // outlives a chunk: a word may cross its end
    size_t length;

    while ((length = fread(chunk, 1, sizeof chunk, input)) > 0) {
        total.bytes += length;
        for (size_t i = 0; i < length; i++) {
            bool space = is_space(chunk[i]);
            total.lines += chunk[i] == '\n';
            total.words += in_word ? 0 : !space;
            in_word = !space;
        }
    }
    return total;
}

// What to print: 'l', 'w', 'c', 'a' for all three, or 0 if the arguments make no sense.
static char selection(int argc, char **argv)
{
    if (argc <= 1)
        return 'a';
    if (argc > 2) {
        fprintf(stderr, "wordcount: give at most one option: -l, -w or -c\n");
        return 0;
    }
    const char *option = argv[1];
    if (strcmp(option, "-l") != 0 && strcmp(option, "-w") != 0 && strcmp(option, "-c") != 0) {
        fprintf(stderr,
                "wordcount: unknown option '%s'; use -l for lines, -w for words, -c for bytes, "
                "or none for all three\n",
                option);
        return 0;
    }
    return option[1];
}

static int print(struct counts total, char what)
{
    switch (what) {
    case 'l':
        return printf("%" PRIu64 "\n", total.lines);
    case 'w':
        return printf("%" PRIu64 "\n", total.words);
    case 'c':
        return printf("%" PRIu64 "\n", total.bytes);
    default:
        return printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", total.lines, total.words,
                      total.bytes);
    }
}

int main(int argc, char **argv)
{
    char what = selection(argc, argv);
    if (what == 0)
        return MISUSED;

    struct counts total = count(stdin);
    if (ferror(stdin)) {
        perror("wordcount: cannot read standard input");
        return FAILED;
    }
    if (print(total, what) < 0 || fflush(stdout) != 0) {
        perror("wordcount: cannot write to standard output");
        return FAILED;
    }
    return 0;
}
