/* plugin_load.c: a plugin's file into tables of our own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/plugin/plugin_load.h"

#include <assert.h>
#include <ctype.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/fs.h"
#include "runtime/config/bind_value.h"
#include "runtime/config/pool.h"

enum { PLUGIN_FILE_MAX = 256 << 20, PLUGIN_SETTINGS_MAX = 1 << 20, PLUGIN_SELF_MAX = 64 << 20, PLUGIN_FIELDS_MAX = 256 };

#if defined(__x86_64__)
#define PLUGIN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define PLUGIN_MACHINE EM_AARCH64
#else
#error "plugins: the ELF machine of this processor is not listed"
#endif

#ifdef MFD_EXEC
#define PLUGIN_MFD_EXEC MFD_EXEC
#else
#define PLUGIN_MFD_EXEC 0x10u
#endif

/* Numbers that the header states for plugins and that are the engine's. */
static_assert(sizeof(struct sl_plugin_slice) == sizeof(struct sl_slice) && offsetof(struct sl_plugin_slice, bytes) == offsetof(struct sl_slice, bytes), "slices");
static_assert(sizeof(struct sl_plugin_strings) == sizeof(struct sl_strings) && offsetof(struct sl_plugin_strings, count) == offsetof(struct sl_strings, count), "strings");
static_assert(sizeof(struct sl_plugin_pair) == sizeof(struct sl_pair) && offsetof(struct sl_plugin_pair, line) == offsetof(struct sl_pair, line), "pairs");
static_assert(sizeof(struct sl_plugin_map) == sizeof(struct sl_map) && offsetof(struct sl_plugin_map, count) == offsetof(struct sl_map, count), "maps");

#define plugin_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)

/* ---- the file ---- */

struct plugin_file {
    const char *data;
    size_t bytes;
};

/* Copies what lies at `at`; false beyond the end. */
static bool file_get(const struct plugin_file *file, uint64_t at, void *to, size_t bytes)
{
    if (at > file->bytes || bytes > file->bytes - at)
        return false;
    memcpy(to, file->data + at, bytes);
    return true;
}

/* A string of a string table, or "" where there is none. */
static const char *file_string(const struct plugin_file *file, const Elf64_Shdr *strings, uint32_t at)
{
    if (at >= strings->sh_size || strings->sh_offset > file->bytes || strings->sh_size > file->bytes - strings->sh_offset ||
        memchr(file->data + strings->sh_offset + at, '\0', strings->sh_size - at) == NULL)
        return "";
    return file->data + strings->sh_offset + at;
}

static int file_symbol(const Elf64_Sym *symbol, const char *name, bool *found, struct sl_err *err)
{
    bool ours = strncmp(name, "sl_", 3) == 0;

    if (ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE)
        return plugin_refuse(err, "the plugin has the GNU_UNIQUE symbol %.100s, so it could never be unloaded; build it with -fno-gnu-unique", name);
    if (symbol->st_shndx == SHN_UNDEF && (strcmp(name, "__cxa_thread_atexit_impl") == 0 || strcmp(name, "__cxa_thread_atexit") == 0))
        return plugin_refuse(err, "the plugin has thread-local variables with destructors (%.40s), which hold it until its threads end; keep state in self", name);
    if (ours && symbol->st_shndx == SHN_UNDEF && ELF64_ST_BIND(symbol->st_info) != STB_WEAK)
        return plugin_refuse(err, "the plugin needs the symbol %.100s of Sluice at link, and there are none; include sluice/plugin.h alone and go through the api table", name);
    *found = *found || (symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && strcmp(name, "sl_plugin") == 0);
    return 0;
}

static int file_symbols(const struct plugin_file *file, const Elf64_Ehdr *head, const Elf64_Shdr *table, struct sl_err *err)
{
    Elf64_Shdr strings;
    Elf64_Sym symbol;
    bool found = false;

    if (!file_get(file, head->e_shoff + (uint64_t)table->sh_link * sizeof(strings), &strings, sizeof(strings)))
        return plugin_refuse(err, "the plugin's file is damaged; build it again");
    for (uint64_t at = 0; at + sizeof(symbol) <= table->sh_size; at += sizeof(symbol)) {
        int rc;
        if (!file_get(file, table->sh_offset + at, &symbol, sizeof(symbol)))
            return plugin_refuse(err, "the plugin's file is damaged; build it again");
        rc = file_symbol(&symbol, file_string(file, &strings, symbol.st_name), &found, err);
        if (rc != 0)
            return rc;
    }
    if (!found)
        return plugin_refuse(err, "the plugin exports no function sl_plugin; write const struct sl_plugin *sl_plugin(void), visible");
    return 0;
}

/* What of the dynamic table would keep the object in the process for ever, or use up what cannot be had twice. */
static int file_dynamic(const struct plugin_file *file, const Elf64_Phdr *segment, struct sl_err *err)
{
    Elf64_Dyn entry;

    for (uint64_t at = 0; at + sizeof(entry) <= segment->p_filesz; at += sizeof(entry)) {
        if (!file_get(file, segment->p_offset + at, &entry, sizeof(entry)))
            return plugin_refuse(err, "the plugin's file is damaged; build it again");
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_NODELETE) != 0)
            return plugin_refuse(err, "the plugin is linked with -z nodelete, so it could never be unloaded; link it without");
        if (entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_STATIC_TLS) != 0)
            return plugin_refuse(err, "the plugin's thread-local variables are in static TLS, of which a process has little; build it without -ftls-model=initial-exec");
    }
    return 0;
}

/* A segment beyond the file's end would be mapped, and end the process when it is touched. */
static int file_segments(const struct plugin_file *file, const Elf64_Ehdr *head, struct sl_err *err)
{
    Elf64_Phdr segment;

    for (uint32_t i = 0; i < head->e_phnum; i++) {
        int rc = 0;
        if (!file_get(file, head->e_phoff + (uint64_t)i * sizeof(segment), &segment, sizeof(segment)) ||
            (segment.p_type == PT_LOAD && (segment.p_offset > file->bytes || segment.p_filesz > file->bytes - segment.p_offset)))
            return plugin_refuse(err, "the plugin's file is damaged; build it again");
        if (segment.p_type == PT_DYNAMIC)
            rc = file_dynamic(file, &segment, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int file_sections(const struct plugin_file *file, const Elf64_Ehdr *head, struct sl_err *err)
{
    Elf64_Shdr section;

    for (uint32_t i = 0; i < head->e_shnum; i++) {
        if (!file_get(file, head->e_shoff + (uint64_t)i * sizeof(section), &section, sizeof(section)))
            return plugin_refuse(err, "the plugin's file is damaged; build it again");
        if (section.sh_type == SHT_DYNSYM)
            return file_symbols(file, head, &section, err);
    }
    return plugin_refuse(err, "the plugin has no table of dynamic symbols; do not strip its section headers");
}

static int file_check(const struct plugin_file *file, struct sl_err *err)
{
    Elf64_Ehdr head;
    int rc;

    if (!file_get(file, 0, &head, sizeof(head)) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return plugin_refuse(err, "the plugin is no shared object (ELF); build it with cc -shared -fPIC");
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != PLUGIN_MACHINE)
        return plugin_refuse(err, "the plugin is built for another kind of machine (ELF machine %u, this one is %u); build it here", head.e_machine, PLUGIN_MACHINE);
    if (head.e_type != ET_DYN || head.e_shentsize != sizeof(Elf64_Shdr) || head.e_phentsize != sizeof(Elf64_Phdr))
        return plugin_refuse(err, "the plugin is no shared object but ELF of type %u; build it with cc -shared -fPIC", head.e_type);
    rc = file_sections(file, &head, err);
    return rc != 0 ? rc : file_segments(file, &head, err);
}

/* ---- the copy that is opened ---- */

struct plugin_open { /* in the pool */
    void *handle;
    int fd; /* stays open with the handle: its number is in `path`, which the loader knows the object by */
    char path[48];
};

/* A file without a name, which nobody can change any more. */
static int open_copy(const char *path, const struct plugin_file *file, struct sl_err *err)
{
    const char *name = strrchr(path, '/');
    int fd, rc;

    name = name == NULL ? path : name + 1;
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | PLUGIN_MFD_EXEC);
    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3, or a name above 249 bytes */
        fd = memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return plugin_refuse(err, "the plugin's copy in memory: %s; let this system make executable memory files (sysctl vm.memfd_noexec)", strerror(errno));
    rc = sl_fs_write_all(sl_fs_posix(), fd, file->data, file->bytes, 0);
    if (rc >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    (void)close(fd);
    return plugin_refuse(err, "the plugin's copy in memory: %s; give the process more memory", strerror(rc < 0 ? -rc : errno));
}

static void open_end(void *thing)
{
    struct plugin_open *open = thing;
    void *left;

    (void)dlclose(open->handle);
    left = dlopen(open->path, RTLD_NOLOAD | RTLD_NOW);
    if (left == NULL) {
        (void)close(open->fd);
        return;
    }
    /* Something holds it after all. The descriptor stays as well: with its number, another plugin would be taken for this one. */
    (void)dlclose(left);
}

/* /proc/self is what debuggers cannot follow. */
static struct plugin_open *open_object(struct sl_pool *pool, int fd, struct sl_err *err)
{
    struct plugin_open *open = sl_pool_alloc(pool, sizeof(*open));

    open->fd = fd;
    (void)snprintf(open->path, sizeof(open->path), "/proc/%d/fd/%d", (int)getpid(), fd);
    if (access(open->path, R_OK) != 0)
        (void)snprintf(open->path, sizeof(open->path), "/proc/self/fd/%d", fd);
    open->handle = dlopen(open->path, RTLD_NOW | RTLD_LOCAL);
    if (open->handle != NULL) {
        sl_pool_on_fini(pool, open_end, open);
        return open;
    }
    (void)plugin_refuse(err, "the plugin cannot be loaded: %.300s; build it with all that it needs (what lies beside it is not looked at)", dlerror());
    (void)close(fd);
    return NULL;
}

/* What was judged is what is opened: the file is read once. */
static struct plugin_open *open_plugin(struct sl_pool *pool, const char *path, struct sl_err *err)
{
    char *data = NULL;
    struct plugin_file file = {NULL, 0};
    int rc = sl_fs_read_file(sl_fs_posix(), path, PLUGIN_FILE_MAX, &data, &file.bytes), fd = -1;

    if (rc < 0) {
        (void)plugin_refuse(err, "%.200s: %s; write the path of a plugin", path, strerror(-rc));
        return NULL;
    }
    file.data = data;
    if (file_check(&file, err) == 0)
        fd = open_copy(path, &file, err);
    free(data);
    return fd < 0 ? NULL : open_object(pool, fd, err);
}

/* ---- its table ---- */

static bool table_word(const char *text)
{
    return text != NULL && islower((unsigned char)text[0]) && strlen(text) <= 64 &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* magic, version and size come first and are judged before anything behind them is touched. */
static int table_version(const struct sl_plugin *table, struct sl_err *err)
{
    if (table == NULL)
        return plugin_refuse(err, "the plugin's sl_plugin() gave NULL; let it give its table");
    if (table->magic != SL_PLUGIN_MAGIC)
        return plugin_refuse(err, "the plugin's table begins with %08x, not with SL_PLUGIN_MAGIC; let sl_plugin() give a struct sl_plugin", table->magic);
    if (table->major != SL_PLUGIN_MAJOR)
        return plugin_refuse(err, "the plugin is built for major version %u of the plugin interface, this is %u.%u; build it against this version's sluice/plugin.h",
                             table->major, SL_PLUGIN_MAJOR, SL_PLUGIN_MINOR);
    if (table->bytes < sizeof(*table))
        return plugin_refuse(err, "the plugin's table has %u bytes, and version %u.0 has %zu; set bytes to sizeof(struct sl_plugin)", table->bytes,
                             SL_PLUGIN_MAJOR, sizeof(*table));
    return 0;
}

static int table_check(const struct sl_plugin *table, struct sl_err *err)
{
    int rc = table_version(table, err);

    if (rc != 0)
        return rc;
    if (!table_word(table->name))
        return plugin_refuse(err, "the plugin's name is no word of a-z, 0-9 and _; set name");
    if (table->process == NULL)
        return plugin_refuse(err, "the plugin %s has no process(); set it in its table", table->name);
    if (table->settings_bytes > PLUGIN_SETTINGS_MAX || table->self_bytes > PLUGIN_SELF_MAX)
        return plugin_refuse(err, "the plugin %s asks for settings of %zu and instances of %zu bytes; at most 1 MiB and 64 MiB are given", table->name,
                             table->settings_bytes, table->self_bytes);
    if (table->flags & ~(uint32_t)SL_PLUGIN_DERIVES)
        return plugin_refuse(err, "the plugin %s has flags %x that version %u.%u does not know; set only those of sluice/plugin.h", table->name,
                             table->flags, SL_PLUGIN_MAJOR, SL_PLUGIN_MINOR);
    if (table->fields != NULL && table->settings_bytes == 0 && table->fields[0].name != NULL)
        return plugin_refuse(err, "the plugin %s has settings but settings_bytes is 0; set it to the size of their struct", table->name);
    return 0;
}

/* ---- its settings ---- */

static const struct plugin_type {
    enum sl_field_type type;
    size_t bytes;
} plugin_types[SL_PLUGIN_TYPES] = {
    [SL_PLUGIN_STRING] = {SL_F_STRING, sizeof(char *)},
    [SL_PLUGIN_BOOL] = {SL_F_BOOL, sizeof(bool)},
    [SL_PLUGIN_U64] = {SL_F_U64, sizeof(uint64_t)},
    [SL_PLUGIN_BYTES] = {SL_F_BYTES, sizeof(uint64_t)},
    [SL_PLUGIN_DURATION] = {SL_F_DURATION, sizeof(uint64_t)},
    [SL_PLUGIN_SHARE] = {SL_F_SHARE, sizeof(double)},
    [SL_PLUGIN_ENUM] = {SL_F_ENUM, sizeof(int)},
    [SL_PLUGIN_STRINGS] = {SL_F_STRINGS, sizeof(struct sl_strings)},
    [SL_PLUGIN_MAP] = {SL_F_MAP, sizeof(struct sl_map)},
    [SL_PLUGIN_FIELD_NAME] = {SL_F_FIELD_NAME, sizeof(char *)},
    [SL_PLUGIN_INPUT_PATH] = {SL_F_INPUT_PATH, sizeof(char *)},
};

static char *field_text(struct sl_pool *pool, const char *text)
{
    return text == NULL ? NULL : sl_pool_text(pool, text, strlen(text));
}

static const char *const *field_values(struct sl_pool *pool, const char *const *values)
{
    const char **copy;
    uint32_t count = 0;

    while (values != NULL && values[count] != NULL)
        count++;
    if (count == 0)
        return NULL;
    copy = sl_pool_alloc(pool, (count + 1) * sizeof(*copy));
    for (uint32_t i = 0; i < count; i++)
        copy[i] = field_text(pool, values[i]);
    return copy;
}

/* Does the binder take this text for the row? It asserts that defaults and bounds of a table do. */
static bool field_reads(struct sl_pool *pool, const struct sl_field *field, const char *text, bool bounded)
{
    union {
        uint64_t number;
        struct sl_map map;
        struct sl_strings strings;
    } value;
    struct sl_field row = *field;
    struct sl_diags diags;
    struct sl_bind bind = {.pool = pool, .diags = &diags, .file = "plugin", .base_dir = "/"};
    struct sl_yaml scalar = {.kind = SL_YAML_SCALAR, .line = 1, .column = 1, .text = text, .quoted = text[0] == '\0'};
    const struct sl_yaml *node = &scalar;
    bool fine;

    sl_diags_init(&diags);
    if (!bounded)
        row.min = row.max = NULL;
    if (row.type == SL_F_STRINGS || row.type == SL_F_MAP)
        node = sl_yaml_parse(pool, "plugin", text, strlen(text), &diags);
    fine = node != NULL && sl_bind_value(&bind, &row, &value, node, row.name);
    sl_diags_fini(&diags);
    return fine;
}

static int field_words(struct sl_pool *pool, const char *plugin, const struct sl_field *field, struct sl_err *err)
{
    bool counted = field->type == SL_F_U64 || field->type == SL_F_BYTES || field->type == SL_F_DURATION || field->type == SL_F_SHARE;

    if ((field->type == SL_F_ENUM) != (field->values != NULL))
        return plugin_refuse(err, "the setting %s of plugin %s: an enum has values, and nothing else has", field->name, plugin);
    if (!counted && (field->min != NULL || field->max != NULL))
        return plugin_refuse(err, "the setting %s of plugin %s has bounds and is no number; leave min and max out", field->name, plugin);
    if ((field->min != NULL && !field_reads(pool, field, field->min, false)) || (field->max != NULL && !field_reads(pool, field, field->max, false)))
        return plugin_refuse(err, "the bounds of the setting %s of plugin %s cannot be read; write them as a user would", field->name, plugin);
    if (field->def != NULL && (field->type == SL_F_INPUT_PATH || !field_reads(pool, field, field->def, true)))
        return plugin_refuse(err, "the default of the setting %s of plugin %s cannot be read; write it as a user would", field->name, plugin);
    return 0;
}

static int field_copy(struct sl_pool *pool, const struct sl_plugin *table, const struct sl_plugin_field *from, struct sl_field *to,
                      struct sl_err *err)
{
    const struct plugin_type *type;

    if (!table_word(from->name))
        return plugin_refuse(err, "a setting of plugin %s is called \"%.64s\", which is no word of a-z, 0-9 and _; rename it", table->name, from->name);
    if (from->type >= SL_PLUGIN_TYPES)
        return plugin_refuse(err, "the setting %s of plugin %s is of type %u, which version %u.%u does not know; use a type of sluice/plugin.h",
                             from->name, table->name, from->type, SL_PLUGIN_MAJOR, SL_PLUGIN_MINOR);
    type = &plugin_types[from->type];
    if (from->offset > table->settings_bytes || type->bytes > table->settings_bytes - from->offset || from->offset % _Alignof(int) != 0)
        if (type->type != SL_F_BOOL || from->offset >= table->settings_bytes)
            return plugin_refuse(err, "the setting %s of plugin %s lies outside of its settings or askew; write its offset with offsetof", from->name, table->name);
    *to = (struct sl_field){.name = field_text(pool, from->name),
                            .type = type->type,
                            .flags = from->required != 0 ? SL_F_REQUIRED : 0,
                            .offset = from->offset,
                            .def = from->required != 0 ? NULL : field_text(pool, from->def),
                            .min = field_text(pool, from->min),
                            .max = field_text(pool, from->max),
                            .values = type->type == SL_F_ENUM ? field_values(pool, from->values) : NULL,
                            .help = from->help == NULL ? "A setting of the plugin." : field_text(pool, from->help)};
    return field_words(pool, table->name, to, err);
}

static int fields_copy(struct sl_pool *pool, const struct sl_plugin *table, struct sl_field **ret_fields, struct sl_err *err)
{
    struct sl_field *fields;
    uint32_t count = 0;

    while (table->fields != NULL && table->fields[count].name != NULL)
        if (++count > PLUGIN_FIELDS_MAX)
            return plugin_refuse(err, "the plugin %s has more than %d settings; end its fields with a row of zeros", table->name, PLUGIN_FIELDS_MAX);
    fields = sl_pool_alloc(pool, (count + 1) * sizeof(*fields));
    for (uint32_t i = 0; i < count; i++) {
        int rc = field_copy(pool, table, &table->fields[i], &fields[i], err);
        for (uint32_t k = 0; rc == 0 && k < i; k++)
            if (strcmp(fields[k].name, fields[i].name) == 0)
                rc = plugin_refuse(err, "the plugin %s has two settings called %s; rename one", table->name, fields[i].name);
        if (rc != 0)
            return rc;
    }
    *ret_fields = fields;
    return 0;
}

/* ---- loading ---- */

const struct plugin_code *plugin_load(struct sl_pool *pool, const char *path, struct sl_err *err)
{
    struct plugin_code *code = sl_pool_alloc(pool, sizeof(*code));
    const struct plugin_open *open = open_plugin(pool, path, err);
    const struct sl_plugin *(*entry)(void);
    const struct sl_plugin *table;
    void *symbol;

    if (open == NULL)
        return NULL;
    symbol = dlsym(open->handle, "sl_plugin");
    if (symbol == NULL) {
        (void)plugin_refuse(err, "the plugin exports no function sl_plugin; write const struct sl_plugin *sl_plugin(void), visible");
        return NULL;
    }
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C knows no cast from an object's pointer to a function's */
    table = entry();
    if (table_check(table, err) != 0 || fields_copy(pool, table, &code->fields, err) != 0)
        return NULL;
    memcpy(&code->table, table, sizeof(code->table)); /* a newer minor has members behind: not for us */
    code->table.name = field_text(pool, table->name);
    code->table.version = table->version == NULL ? "" : field_text(pool, table->version);
    code->table.summary = table->summary == NULL ? "" : field_text(pool, table->summary);
    code->table.fields = NULL;
    return code;
}
