//! Erases what an account said and what is known of it. What moderators did to it stays: a ban is not undone by this.

use rusqlite::{Connection, TransactionBehavior, params, params_from_iter};

use super::{Erased, Error};
use crate::moderation::QUOTING;

/// In all channels.
pub(super) fn account(connection: &mut Connection, account: &str) -> Result<Erased, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let messages = run(&transaction, None, account)?;
    transaction.commit()?;
    Ok(Erased { messages })
}

/// In one channel; part of somebody else's transaction.
pub(super) fn in_channel(connection: &Connection, channel: &str, account: &str) -> Result<(), Error> {
    run(connection, Some(channel), account).map(|_| ())
}

fn run(connection: &Connection, channel: Option<&str>, account: &str) -> Result<u64, Error> {
    let here = params![account, channel];
    let messages =
        connection.execute("DELETE FROM event WHERE account = ?1 AND (?2 IS NULL OR channel = ?2)", here)?;
    for table in ["held", "person", "address"] {
        let sql = format!("DELETE FROM {table} WHERE account = ?1 AND (?2 IS NULL OR channel = ?2)");
        connection.execute(&sql, here)?;
    }
    // Others who answered quoted it.
    connection.execute(
        r#"UPDATE event SET what = json_remove(what, '$.reply')
           WHERE (?2 IS NULL OR channel = ?2) AND instr(what, '"reply":{') > 0
             AND json_extract(what, '$.reply.user.id') = ?1"#,
        here,
    )?;
    let marks = vec!["?"; QUOTING.len()].join(", ");
    let sql = format!(
        "UPDATE log SET text = '' WHERE account = ? AND coalesce(?, channel) = channel AND action IN ({marks})"
    );
    let channel = channel.map(str::to_owned);
    let values = [Some(account.to_owned()), channel].into_iter();
    connection
        .execute(&sql, params_from_iter(values.chain(QUOTING.map(|action| Some(action.to_owned())))))?;
    Ok(messages as u64)
}
