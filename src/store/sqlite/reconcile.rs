//! Recording what happened to the notifications while no trigger was there to see it.
//!
//! A tool that rebuilds the table takes its triggers away in silence. What the journal says of each notification last is then compared
//! with what the table says now.

use rusqlite::Connection;

/// The last change of notification `id` that the journal has, unless that is its deletion. The index over the changes of a notification finds it, so
/// nothing is copied, however long the journal is.
macro_rules! last_change {
    ($id:literal) => {
        concat!(
            "l.seq = (SELECT max(seq) FROM changes WHERE notification_id = ",
            $id,
            ") AND l.kind <> 'deleted'"
        )
    };
}

/// Brings the journal up to date with the table. `lost` names the columns that the rebuilt table no longer had and that were added
/// again, empty. Must run inside a write transaction, without the triggers.
///
/// What retention has removed from the journal cannot be compared: such a notification is taken as it is.
pub(super) fn reconcile(connection: &Connection, lost: &[&str]) -> rusqlite::Result<()> {
    for column in super::row::COURSE
        .iter()
        .filter(|column| lost.contains(column))
    {
        connection.execute_batch(&format!(
            "UPDATE notifications SET {column} = l.{column} FROM changes l WHERE {}",
            last_change!("notifications.id")
        ))?;
    }
    connection.execute_batch(concat!(
        "INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at, read_at, closed_at,
                              closed_by, closed_surface, response_options)
             SELECT l.notification_id, 'deleted', strftime('%Y-%m-%dT%H:%M:%f', 'now'), l.status, l.user_response,
                    l.updated_at, l.read_at, l.closed_at, l.closed_by, l.closed_surface, l.response_options
               FROM changes l
              WHERE NOT EXISTS (SELECT 1 FROM notifications n WHERE n.id = l.notification_id)
                AND ",
        last_change!("l.notification_id"),
        "
              ORDER BY l.notification_id;
         INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at, read_at, closed_at,
                              closed_by, closed_surface, response_options)
             SELECT n.id,
                    CASE WHEN n.status IS l.status THEN 'updated'
                         WHEN n.status IN ('read', 'responded', 'dismissed', 'cancelled', 'expired') THEN n.status
                         ELSE 'updated' END,
                    strftime('%Y-%m-%dT%H:%M:%f', 'now'), n.status, n.user_response, n.updated_at, n.read_at,
                    n.closed_at, n.closed_by, n.closed_surface, n.response_options
               FROM notifications n JOIN changes l ON ",
        last_change!("n.id"),
        "
              WHERE (n.status, n.user_response, n.updated_at) IS NOT (l.status, l.user_response, l.updated_at)
              ORDER BY n.id;
         INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at, read_at, closed_at,
                              closed_by, closed_surface, response_options)
             SELECT n.id, 'created', strftime('%Y-%m-%dT%H:%M:%f', 'now'), n.status, n.user_response, n.updated_at,
                    n.read_at, n.closed_at, n.closed_by, n.closed_surface, n.response_options
               FROM notifications n
              WHERE n.id > (SELECT coalesce(max(value), 0) FROM barista_meta WHERE key = 'known_id')
                AND NOT EXISTS (SELECT 1 FROM changes l WHERE ",
        last_change!("n.id"),
        ")
              ORDER BY n.id"
    ))
}
