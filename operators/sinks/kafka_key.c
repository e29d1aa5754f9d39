/* kafka_key.c: which bytes of a record are its key in Kafka.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/kafka.h"

#include "runtime/base/intern.h"

int kafka_key_open(struct kafka_sink *sink, struct sl_names *names, struct sl_err *err)
{
    sink->key_column = -1;
    if (sink->config->key == NULL)
        return 0;
    if (sl_name_parse(sink->config->key, &sink->key, err) != 0)
        return sl_while(err, "key");
    sink->has_key = true;
    switch (sink->key.kind) {
    case SL_NAME_PATH:
    case SL_NAME_TRACE:
        sink->key_column = names->column(names, &sink->key, err);
        return sink->key_column < 0 ? sl_while(err, "key") : 0;
    case SL_NAME_SERVICE:
    case SL_NAME_TOPIC:
    case SL_NAME_KEY:
    case SL_NAME_HEADER:
        return 0;
    case SL_NAME_TIME:
    case SL_NAME_LEVEL:
    case SL_NAME_CLASS:
    case SL_NAME_APPEND_TIME:
        break;
    }
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   "key: %s cannot be a key; write a field of the payload, service, trace, @key, @topic or @header:NAME",
                   sink->config->key);
}

static struct sl_slice key_header(const struct sl_batch *batch, uint32_t row, const char *name)
{
    for (uint16_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){NULL, 0};
}

/* data NULL: none; the record goes to any partition. */
struct sl_slice kafka_key_of(const struct kafka_sink *sink, const struct sl_view *view, uint32_t row)
{
    const struct sl_batch *batch = view->batch;
    struct sl_slice none = {NULL, 0};

    if (!sink->has_key)
        return none;
    if (sink->key_column >= 0) {
        const struct sl_column *column;

        if ((uint32_t)sink->key_column >= view->decoded->columns_count)
            return none;
        column = &view->decoded->columns[sink->key_column];
        return column->type[row] == SL_T_ABSENT || column->type[row] == SL_T_NULL ? none : column->value[row];
    }
    if (sink->key.kind == SL_NAME_SERVICE)
        return view->decoded->service == NULL || view->decoded->service[row] == SL_INTERN_NONE
                   ? none
                   : sl_intern_name(view->decoded->service[row]);
    if (sink->key.kind == SL_NAME_TOPIC)
        return sl_slice_of(batch->partition->topic);
    if (sink->key.kind == SL_NAME_HEADER)
        return key_header(batch, row, sink->key.header);
    return batch->key == NULL ? none : batch->key[row];
}
