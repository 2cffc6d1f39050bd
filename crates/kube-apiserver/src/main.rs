//! The program: kube-apiserver's library with the allocator that suits it.

// The system's allocator keeps several times of what 10 000 objects need.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kube_apiserver::main()
}
