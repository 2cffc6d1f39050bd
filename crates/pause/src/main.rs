//! The first process of a pod: holds the pod's namespaces open, collects the orphans of a shared PID namespace, and ends
//! at SIGTERM or SIGINT. It owns nothing else and knows nothing of pods.

fn main() {
    // Blocked signals are held until sigwait takes them, so none is lost between two rounds; and PID 1, for which the
    // kernel drops signals that have no handler, gets them all the same.
    // SAFETY: `set` is initialised by sigemptyset before any use, and both outlive the calls that borrow them.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        loop {
            let mut signal = 0;
            if libc::sigwait(&set, &mut signal) != 0 || signal != libc::SIGCHLD {
                return;
            }
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
        }
    }
}
