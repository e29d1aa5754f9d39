/* bare_reader.cc: the yardstick for files: what a competent programmer writes for this one job and nothing else.
 *
 * bare_reader [--validate] [--all] [--stream] OUT.zst FILE... Reads the files in blocks of 4 MiB, one pass of simdjson over the keys of
 * each line, drops debug, keeps 10 % of info by a hash of the trace and all the rest, zstd level 1 into one file. No offsets,
 * no commit, no ledger, no metrics, no configuration, and it ends at the first thing that surprises it.
 * --validate: each line is parsed whole (simdjson's DOM). --all: everything is kept, as in a landing zone of 100 %.
 * --stream: simdjson indexes a whole block at once instead of a line at a time (not with --validate).
 * Prints records, kept, bytes out, CPU seconds (user and system). Compiled for the machine it is built on: it may be as fast as it can.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

#include <simdjson.h>
#include <xxhash.h>
#include <zstd.h>

static constexpr size_t block_bytes = 4 << 20, lines_bytes = 128 << 10, out_bytes = 256 << 10;

struct fields {
    std::string_view ts, service, level, trace;
};

struct bare_reader {
    bool validate = false, all = false, stream = false;
    uint64_t records = 0, kept = 0, written_bytes = 0;
    int out = -1;
    ZSTD_CCtx *zstd = nullptr;
    std::unique_ptr<char[]> block, lines, packed; /* lines: what is kept and not yet compressed */
    size_t lines_used = 0;
    simdjson::ondemand::parser parser;
    simdjson::dom::parser dom;
};

[[noreturn]] static void bare_die(const char *what)
{
    std::perror(what);
    std::exit(1);
}

static void bare_write(bare_reader &self, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(self.out, data, bytes);
        if (n < 0)
            bare_die("write");
        data += n;
        bytes -= size_t(n);
        self.written_bytes += uint64_t(n);
    }
}

static void bare_pack(bare_reader &self, ZSTD_EndDirective how)
{
    ZSTD_inBuffer in = {self.lines.get(), self.lines_used, 0};
    size_t left;

    do {
        ZSTD_outBuffer out = {self.packed.get(), out_bytes, 0};
        left = ZSTD_compressStream2(self.zstd, &out, &in, how);
        if (ZSTD_isError(left))
            bare_die(ZSTD_getErrorName(left));
        bare_write(self, self.packed.get(), out.pos);
    } while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
    self.lines_used = 0;
}

static void bare_keep(bare_reader &self, const char *line, size_t bytes)
{
    self.kept++;
    if (self.lines_used + bytes > lines_bytes)
        bare_pack(self, ZSTD_e_continue);
    if (bytes > lines_bytes)
        bare_die("a line is too long");
    std::memcpy(self.lines.get() + self.lines_used, line, bytes);
    self.lines_used += bytes;
}

static bool bare_wants(const bare_reader &self, const fields &found)
{
    if (self.all)
        return true;
    if (found.level == "debug")
        return false;
    if (found.level == "info")
        return XXH3_64bits(found.trace.data(), found.trace.size()) < UINT64_MAX / 10;
    return true;
}

/* One pass over the keys, as far as the four fields. */
static void bare_walk(simdjson::ondemand::object object, fields &found)
{
    int left = 4;

    for (auto field : object) {
        simdjson::ondemand::raw_json_string key = field.key();
        std::string_view *into = key == "ts"         ? &found.ts
                                 : key == "service"  ? &found.service
                                 : key == "level"    ? &found.level
                                 : key == "trace_id" ? &found.trace
                                                     : nullptr;
        if (into != nullptr) {
            *into = field.value().get_string();
            if (--left == 0)
                return;
        }
    }
}

static void bare_walk_dom(simdjson::dom::object object, fields &found)
{
    for (auto field : object) {
        std::string_view *into = field.key == "ts"         ? &found.ts
                                 : field.key == "service"  ? &found.service
                                 : field.key == "level"    ? &found.level
                                 : field.key == "trace_id" ? &found.trace
                                                           : nullptr;
        if (into != nullptr)
            *into = field.value.get_string();
    }
}

static void bare_line(bare_reader &self, const char *line, size_t bytes, size_t readable)
{
    fields found;

    if (self.validate) {
        bare_walk_dom(self.dom.parse(line, bytes, false).get_object(), found);
    } else {
        simdjson::ondemand::document document = self.parser.iterate(line, bytes, readable);
        bare_walk(document.get_object(), found);
    }
    self.records++;
    if (bare_wants(self, found))
        bare_keep(self, line, bytes + 1);
}

static void bare_stream(bare_reader &self, const char *data, size_t bytes)
{
    simdjson::ondemand::document_stream stream = self.parser.iterate_many(data, bytes, block_bytes);

    for (auto at = stream.begin(); at != stream.end(); ++at) {
        fields found;
        auto document = *at;
        bare_walk(document.get_object(), found);
        self.records++;
        if (bare_wants(self, found)) {
            const char *line = data + at.current_index(), *end = data + bytes;
            bare_keep(self, line, size_t(static_cast<const char *>(std::memchr(line, '\n', size_t(end - line))) + 1 - line));
        }
    }
}

/* Whole lines of the block; returns what is left of the last. */
static size_t bare_block(bare_reader &self, size_t bytes)
{
    char *line = self.block.get(), *end = line + bytes;

    if (self.stream && !self.validate) {
        char *last = static_cast<char *>(memrchr(line, '\n', bytes));
        if (last != nullptr) {
            bare_stream(self, line, size_t(last + 1 - line));
            line = last + 1;
        }
    } else {
        while (char *newline = static_cast<char *>(std::memchr(line, '\n', size_t(end - line)))) {
            bare_line(self, line, size_t(newline - line), size_t(end - line) + simdjson::SIMDJSON_PADDING);
            line = newline + 1;
        }
    }
    std::memmove(self.block.get(), line, size_t(end - line));
    return size_t(end - line);
}

static void bare_file(bare_reader &self, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t held = 0;
    ssize_t n;

    if (file < 0)
        bare_die(path);
    while ((n = read(file, self.block.get() + held, block_bytes - held)) > 0)
        held = bare_block(self, held + size_t(n));
    if (n < 0)
        bare_die(path);
    close(file);
}

static double bare_seconds(const timeval &time)
{
    return double(time.tv_sec) + double(time.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    bare_reader self;
    int arg = 1;
    rusage usage;

    for (; arg < argc && std::strncmp(argv[arg], "--", 2) == 0; arg++) {
        self.validate |= std::strcmp(argv[arg], "--validate") == 0;
        self.all |= std::strcmp(argv[arg], "--all") == 0;
        self.stream |= std::strcmp(argv[arg], "--stream") == 0;
    }
    if (argc - arg < 2) {
        std::fprintf(stderr, "usage: bare_reader [--validate] [--all] [--stream] OUT.zst FILE...\n");
        return 2;
    }
    self.block.reset(new char[block_bytes + simdjson::SIMDJSON_PADDING]());
    self.lines.reset(new char[lines_bytes]);
    self.packed.reset(new char[out_bytes]);
    self.zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(self.zstd, ZSTD_c_compressionLevel, 1);
    self.out = open(argv[arg], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (self.out < 0)
        bare_die(argv[arg]);
    for (arg++; arg < argc; arg++)
        bare_file(self, argv[arg]);
    bare_pack(self, ZSTD_e_end);
    ZSTD_freeCCtx(self.zstd);
    if (close(self.out) != 0)
        bare_die("close");
    getrusage(RUSAGE_SELF, &usage);
    std::printf("{\"records\":%llu,\"kept\":%llu,\"bytes_out\":%llu,\"user_s\":%.3f,\"system_s\":%.3f,\"cpu_s\":%.3f}\n",
                static_cast<unsigned long long>(self.records), static_cast<unsigned long long>(self.kept),
                static_cast<unsigned long long>(self.written_bytes), bare_seconds(usage.ru_utime), bare_seconds(usage.ru_stime),
                bare_seconds(usage.ru_utime) + bare_seconds(usage.ru_stime));
    return 0;
}
