//! Ctrl-C and SIGTERM.

use rustix::process::Signal;

use crate::home::Home;

#[test]
fn an_interrupted_question_stays_open() {
    let home = Home::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let asked = home.start(["ask", "Deploy?", "--option", "approve"]);
        let id = asked.question();
        asked.signal(signal);
        let ended = asked.end().with(code);
        assert_eq!(ended.stdout, "");
        let told = format!("#{id} stays open. Wait again with: barista wait {id}");
        assert!(ended.stderr.contains(&told), "{ended}");
        assert_eq!(home.state(&id), "PENDING");
        home.run(["respond", &id, "approve"]).with(0);
        assert_eq!(home.run(["wait", &id]).with(0).stdout, "approve\n");
    }
}

#[test]
fn a_wait_and_a_watch_end_with_the_signal_s_code() {
    let home = Home::new();
    home.run(["ask", "Deploy?", "--no-wait"]).with(0);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let wait = home.start(["wait", "1"]);
        home.until_counts("waiters", 1);
        wait.signal(signal);
        wait.end().with(code);
        let watch = home.start(["watch"]);
        home.until_counts("watchers", 1);
        watch.signal(signal);
        let ended = watch.end().with(code);
        assert!(ended.stderr.contains("barista watch --since 1"), "{ended}");
    }
}
