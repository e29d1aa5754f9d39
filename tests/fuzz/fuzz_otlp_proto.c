/* fuzz_otlp_proto.c: any bytes as an ExportLogsServiceRequest in protobuf.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_read(otlp_read_proto, data, bytes);
    return 0;
}
