//! Brings the schema up to date, one numbered file at a time.

use rusqlite::Connection;

use super::StoreError;

/// Every schema change, in order. Never edited, only added to.
const MIGRATIONS: [&str; 10] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
];

pub(super) fn up(connection: &mut Connection) -> Result<(), StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (number, sql) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_from_the_future_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        up(&mut connection).unwrap();
        up(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = up(&mut connection).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    }
}
