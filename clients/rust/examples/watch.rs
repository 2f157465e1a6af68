//! Prints the open notifications, then each change as it happens, across restarts of the daemon: `cargo run --example watch`

use std::process::ExitCode;

use barista_client::pb::notification::v1::{Notification, StartAt, WatchNotificationsRequest};
use barista_client::{Client, ConnectOptions, Error, WatchItem};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match watch().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watch: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn watch() -> Result<(), Error> {
    let client = Client::connect(ConnectOptions::new()).await?;
    let request = WatchNotificationsRequest {
        start_at: StartAt::Snapshot.into(),
        ..WatchNotificationsRequest::default()
    };
    let mut watch = client.watch(request);
    while let Some(item) = watch.next().await? {
        match item {
            WatchItem::Snapshot { notifications, .. } => {
                notifications
                    .iter()
                    .filter(|notification| !notification.state().is_end())
                    .for_each(print);
            }
            WatchItem::Event(event) => {
                print!("{} {}: ", event.sequence, event.kind().as_str_name());
                event.notification.iter().for_each(print);
            }
            WatchItem::Interrupted(error) => eprintln!("watch: {error}; trying again"),
            WatchItem::SnapshotRestarted => println!("from the beginning:"),
            _ => {}
        }
    }
    Ok(())
}

fn print(notification: &Notification) {
    println!(
        "{} {} {}",
        notification.id,
        notification.state().as_str_name(),
        notification.title
    );
}
