//! Work that takes a processor for long.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does work that may take milliseconds without keeping other requests from being answered: the thread's other tasks
/// move to another one first. Where there is only one thread, nothing can move.
pub(super) fn heavy<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        let (said, heard) = std::sync::mpsc::channel();
        let other = tokio::spawn(async move { said.send(()) });
        // With one thread, nobody would say anything while this waits.
        heavy(|| heard.recv()).expect("the other task goes on");
        other.await.expect("no panic").expect("it was heard");
    }

    #[tokio::test]
    async fn one_thread_works_on() {
        assert_eq!(heavy(|| 1), 1);
    }
}
