// The header in C++: a program as a user would write it, against the installed library.

#include <cstdio>
#include <vector>

#include <soft_bce.h>

int main()
{
    std::vector<float> z{0.5f, -3.0f, 20.0f}, t{0.89f, 0.0f, 1.0f}, gradient(z.size());
    soft_bce_options_f32 options{};
    options.backend = SOFT_BCE_BACKEND_SCALAR;
    double mean = 0;
    size_t index = 0;
    soft_bce_status status = soft_bce_mean_gradient_f32(z.data(), t.data(), z.size(), &options,
                                                        gradient.data(), &mean, &index);
    if (status != SOFT_BCE_OK || !(mean > 0.19 && mean < 0.2))
        return 1;
    t[1] = 2;
    status = soft_bce_mean_gradient_f32(z.data(), t.data(), z.size(), nullptr, gradient.data(),
                                        &mean, &index);
    std::printf("%s, at %zu\n", soft_bce_status_message(status), index);
    return !(status == SOFT_BCE_TARGET_OUT_OF_RANGE && index == 1);
}
