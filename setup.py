"""The 1-bit kernels, as an optional extension: without a compiler the installation goes on."""

from setuptools import Extension, setup

SOURCES = ("evobit", "pool", "portable", "avx2", "avx512", "avx512_groups", "plan", "real")
HEADERS = (
    "evobit isa pool epilogue kernels vectors_avx512 vectors_avx2 vectors_portable "
    "plan real real_kernels"
).split()

setup(
    ext_modules=[
        Extension(
            "deploy._kernels",
            sources=[f"deploy/native/{name}.cpp" for name in SOURCES],
            depends=[f"deploy/native/{name}.h" for name in HEADERS],
            # No -march: every function names the instructions it uses, and is called only where
            # the machine has them. No contraction: products are rounded where the code says so.
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden"],
            language="c++",
            optional=True,
        )
    ]
)
