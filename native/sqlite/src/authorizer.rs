//! What a component's statements may not do: leave the file that the component was granted, or leave something behind
//! in a pooled connection that the next user of it would meet.

use std::sync::{Arc, atomic::Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::database::Marks;

/// Pragmas that only read, whatever argument they are given.
const PRAGMAS_READ: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "foreign_key_check",
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Pragmas that read when given no value, and would set something beyond the transaction when given one.
const PRAGMAS_GET: &[&str] = &[
    "application_id",
    "auto_vacuum",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "journal_mode",
    "max_page_count",
    "page_count",
    "page_size",
    "recursive_triggers",
    "schema_version",
    "synchronous",
];

/// Pragmas that may be set: what they set is part of the transaction.
const PRAGMAS_SET: &[&str] = &["defer_foreign_keys", "optimize", "user_version"];

/// SQL functions that answer for the connection they run on.
const COUNTERS: &[&str] = &["changes", "last_insert_rowid", "total_changes"];

/// The check that every statement passes while it is prepared. `marks` note what is special about it.
pub(crate) fn authorizer(marks: Arc<Marks>) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
    move |context| {
        let allowed = match context.action {
            // VACUUM (also `VACUUM INTO 'file'`) attaches the file that it writes, and so ends here, too.
            AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => false,
            AuthAction::Function { function_name } => {
                if COUNTERS.iter().any(|counter| counter.eq_ignore_ascii_case(function_name)) {
                    marks.counters.store(true, Ordering::Relaxed);
                }
                !function_name.eq_ignore_ascii_case("load_extension")
            }
            AuthAction::Pragma { pragma_name, pragma_value } => pragma(pragma_name, pragma_value),
            AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempIndex { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempView { .. } => {
                marks.tainted.store(true, Ordering::Relaxed);
                true
            }
            _ => {
                if matches!(context.action, AuthAction::CreateVtable { .. }) && context.database_name == Some("temp") {
                    marks.tainted.store(true, Ordering::Relaxed);
                }
                true
            }
        };
        if allowed { Authorization::Allow } else { Authorization::Deny }
    }
}

fn pragma(name: &str, value: Option<&str>) -> bool {
    let listed = |list: &[&str]| list.iter().any(|entry| entry.eq_ignore_ascii_case(name));
    listed(PRAGMAS_READ) || listed(PRAGMAS_SET) || (value.is_none() && listed(PRAGMAS_GET))
}
