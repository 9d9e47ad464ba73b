// The header in C++: a pipeline that frees itself.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

struct Free {
    void operator()(void *pipeline) const { ces_free(pipeline); }
};

int main() {
    std::array<uint8_t, 32> key{};
    key[0] = 7;
    std::unique_ptr<void, Free> pipeline(ces_new_with_key(3, key.data()));
    CHECK(pipeline != nullptr);
    std::string text(200000, 'a');
    FFIShards shards =
        ces_process(pipeline.get(), reinterpret_cast<const uint8_t *>(text.data()), text.size());
    CHECK(shards.count == 12);
    std::vector<int> present(shards.count, 1);
    present[0] = present[5] = present[6] = present[11] = 0;
    FFIResult result =
        ces_reconstruct(pipeline.get(), shards.shards, shards.count, present.data());
    CHECK(result.success == 1);
    CHECK(std::string(reinterpret_cast<char *>(result.data), result.data_len) == text);
    ces_free_result(result);
    ces_free_shards(shards);
    CHECK(ces2_options_new(nullptr) == CES_NULL);
    std::puts("ok");
}
