/* fuzz_otlp_json.c: any bytes as an ExportLogsServiceRequest in JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_read(otlp_read_json, data, bytes);
    return 0;
}
