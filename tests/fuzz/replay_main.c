/* replay_main.c: runs a fuzz target once over each file of its corpus, so that what fuzzing has found stays a plain test.
 * Each input lies in memory of exactly its size. An empty or missing folder fails: a corpus must not vanish unnoticed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long bytes = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        data = malloc((size_t)bytes + (bytes == 0));
        if (data == NULL || fread(data, 1, (size_t)bytes, file) != (size_t)bytes)
            bytes = -1;
    }
    if (file != NULL)
        (void)fclose(file);
    if (bytes < 0)
        perror(path);
    else
        (void)LLVMFuzzerTestOneInput(data, (size_t)bytes);
    free(data);
    return bytes < 0 ? -1 : 0;
}

static int replay_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The number of files run, or -1. In name order, so that a failure is the same each time. */
static int replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, replay_entry, alphasort), failed = count < 0;

    if (failed)
        perror(folder);
    for (int i = 0; i < count; i++) {
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) >= (int)sizeof(path))
            failed = 1;
        else if (replay_file(path) != 0)
            failed = 1;
        free(entries[i]);
    }
    free(entries);
    return failed ? -1 : count;
}

int main(int argc, char **argv)
{
    int inputs = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count < 0)
            return 1;
        inputs += count;
    }
    printf("%d inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
