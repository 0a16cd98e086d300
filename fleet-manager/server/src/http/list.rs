//! Lists: paged, sorted and searched in the same way everywhere.

use rusqlite::types::{ToSql, Value};
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::Error;

const DEFAULT_PER_PAGE: u32 = 50;
/// Longest page: 500 boxes are 300 KiB of JSON.
pub const MAX_PER_PAGE: u32 = 500;
/// Last page: keeps the offset within 32 bits.
pub const MAX_PAGE: u32 = 1_000_000;
/// Longest search text, in characters.
pub const MAX_SEARCH: usize = 100;

/// What every list takes. Filters of a list's own are a second `Query`.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// From 1 on.
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    pub page: Option<u32>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub per_page: Option<u32>,
    /// Name of a field; with `-` before it: greatest first.
    #[param(max_length = 40)]
    pub sort: Option<String>,
    /// Only rows with this text in them.
    #[param(max_length = 100)]
    pub q: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Rows of all pages.
    pub total: u64,
    pub page: u32,
    pub per_page: u32,
}

/// A list's order: a field of those that it can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<'a> {
    pub field: &'a str,
    pub descending: bool,
}

impl Paging {
    /// # Errors
    /// When page or length are out of bounds.
    pub fn bounds(&self) -> Result<(u32, u32), Error> {
        let page = self.page.unwrap_or(1);
        if !(1..=MAX_PAGE).contains(&page) {
            return Err(Error::Malformed(format!("query: page is not from 1 to {MAX_PAGE}")));
        }
        let per_page = self.per_page.unwrap_or(DEFAULT_PER_PAGE);
        if !(1..=MAX_PER_PAGE).contains(&per_page) {
            return Err(Error::Malformed(format!("query: per_page is not from 1 to {MAX_PER_PAGE}")));
        }
        Ok((page, per_page))
    }

    /// The order that was asked for, or `default` (which may begin with `-`).
    ///
    /// # Errors
    /// When it is none of `fields`; the answer names those.
    pub fn order<'a>(&self, fields: &[&'a str], default: &'a str) -> Result<Order<'a>, Error> {
        let (name, descending) = split(self.sort.as_deref().unwrap_or(default));
        match fields.iter().copied().find(|field| *field == name) {
            Some(field) => Ok(Order { field, descending }),
            None => Err(Error::Malformed(format!(
                "query: sort: this list can be sorted by {}",
                fields.join(", ")
            ))),
        }
    }

    /// The text to search for, in lower case; `None` when there is none.
    ///
    /// # Errors
    /// When it is too long.
    pub fn search(&self) -> Result<Option<String>, Error> {
        let text = self.q.as_deref().unwrap_or_default().trim();
        if text.chars().count() > MAX_SEARCH {
            return Err(Error::Malformed(format!("query: q is longer than {MAX_SEARCH} characters")));
        }
        Ok((!text.is_empty()).then(|| text.to_lowercase()))
    }
}

fn split(sort: &str) -> (&str, bool) {
    sort.strip_prefix('-').map_or((sort, false), |name| (name, true))
}

impl<T> Page<T> {
    /// The page of `items`, which are filtered and sorted already: for lists that are held in memory.
    ///
    /// # Errors
    /// As [`Paging::bounds`].
    pub fn of(items: Vec<T>, paging: &Paging) -> Result<Self, Error> {
        let (page, per_page) = paging.bounds()?;
        let total = items.len() as u64;
        let skip = (page as usize - 1).saturating_mul(per_page as usize);
        let items = items.into_iter().skip(skip).take(per_page as usize).collect();
        Ok(Self { items, total, page, per_page })
    }

    /// The same page of something else.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        let items = self.items.into_iter().map(change).collect();
        Page { items, total: self.total, page: self.page, per_page: self.per_page }
    }
}

/// A list in the database.
pub struct Select<'a> {
    columns: &'a str,
    from: &'a str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl<'a> Select<'a> {
    /// `from`: tables and joins, without conditions.
    #[must_use]
    pub fn new(columns: &'a str, from: &'a str) -> Self {
        Self { columns, from, conditions: Vec::new(), values: Vec::new() }
    }

    /// Adds a condition with one `?`, such as `"box_id = ?"`, unless `value` is `None`.
    #[must_use]
    pub fn only(mut self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.conditions.push(format!("({condition})"));
            self.values.push(value.into());
        }
        self
    }

    /// Adds a condition without a value, such as `"ended_ms IS NULL"`, when `when`.
    #[must_use]
    pub fn only_when(mut self, when: bool, condition: &str) -> Self {
        if when {
            self.conditions.push(format!("({condition})"));
        }
        self
    }

    /// Rows that have the text of [`Paging::q`] in one of these columns.
    ///
    /// # Errors
    /// As [`Paging::search`].
    pub fn search(mut self, paging: &Paging, columns: &[&str]) -> Result<Self, Error> {
        if let Some(text) = paging.search()? {
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            let any: Vec<_> = columns.iter().map(|column| format!("{column} LIKE ? ESCAPE '\\'")).collect();
            self.conditions.push(format!("({})", any.join(" OR ")));
            self.values.extend(columns.iter().map(|_| Value::Text(format!("%{escaped}%"))));
        }
        Ok(self)
    }

    /// One page. `sorts` maps the names of fields to SQL expressions; `tie` is a unique column, so that no row is on two
    /// pages.
    ///
    /// # Errors
    /// When the paging is out of bounds, or the database fails.
    pub fn page<T>(
        self,
        connection: &Connection,
        paging: &Paging,
        sorts: &[(&str, &str)],
        default: &str,
        tie: &str,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Page<T>, Error> {
        let (page, per_page) = paging.bounds()?;
        let fields: Vec<&str> = sorts.iter().map(|(field, _)| *field).collect();
        let order = paging.order(&fields, default)?;
        let expression =
            sorts.iter().find(|(field, _)| *field == order.field).map_or(tie, |(_, expression)| expression);
        let direction = if order.descending { "DESC" } else { "ASC" };
        let conditions = match self.conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let (columns, from) = (self.columns, self.from);
        let total: i64 = connection
            .prepare_cached(&format!("SELECT count(*) FROM {from}{conditions}"))?
            .query_row(params_from_iter(&self.values), |row| row.get(0))?;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {columns} FROM {from}{conditions}
             ORDER BY {expression} {direction}, {tie} {direction} LIMIT ? OFFSET ?"
        ))?;
        let offset = i64::from(page - 1) * i64::from(per_page);
        let last: [&dyn ToSql; 2] = [&per_page, &offset];
        let values = self.values.iter().map(|value| value as &dyn ToSql).chain(last);
        let mut rows = statement.query(params_from_iter(values))?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(read(row)?);
        }
        Ok(Page { items, total: u64::try_from(total).unwrap_or(0), page, per_page })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(page: u32, per_page: u32, sort: &str, q: &str) -> Paging {
        Paging { page: Some(page), per_page: Some(per_page), sort: Some(sort.into()), q: Some(q.into()) }
    }

    fn names(paging: &Paging) -> Result<(Vec<String>, u64), Error> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, kind TEXT);
             INSERT INTO t VALUES (1, 'Ab', 'x'), (2, 'b', 'x'), (3, 'a%', 'y'), (4, 'c_d', 'x'), (5, 'b', 'x');",
        )?;
        let page =
            Select::new("name", "t").only("kind = ?", Some("x".to_owned())).search(paging, &["name"])?.page(
                &connection,
                paging,
                &[("name", "name COLLATE NOCASE"), ("id", "id")],
                "name",
                "id",
                |row| Ok(row.get(0)?),
            )?;
        Ok((page.items, page.total))
    }

    #[test]
    fn a_list_is_filtered_sorted_and_cut_into_pages() {
        assert_eq!(names(&paging(1, 3, "name", "")).unwrap(), (vec!["Ab".into(), "b".into(), "b".into()], 4));
        assert_eq!(names(&paging(2, 3, "name", "")).unwrap(), (vec!["c_d".into()], 4));
        assert_eq!(names(&paging(1, 2, "-id", "")).unwrap(), (vec!["b".into(), "c_d".into()], 4));
        assert_eq!(names(&paging(9, 2, "id", "")).unwrap(), (vec![], 4));
    }

    #[test]
    fn search_text_is_text_and_not_a_pattern() {
        assert_eq!(names(&paging(1, 9, "id", "_")).unwrap().0, ["c_d"]);
        assert_eq!(names(&paging(1, 9, "id", "%")).unwrap().1, 0);
        assert_eq!(names(&paging(1, 9, "id", "B")).unwrap().1, 3);
    }

    #[test]
    fn what_is_out_of_bounds_is_said() {
        for bad in [paging(0, 1, "id", ""), paging(1, 501, "id", ""), paging(1, 1, "kind", "")] {
            assert!(matches!(names(&bad), Err(Error::Malformed(_))));
        }
        let text = "x".repeat(MAX_SEARCH + 1);
        assert!(matches!(names(&paging(1, 1, "id", &text)), Err(Error::Malformed(_))));
    }
}
