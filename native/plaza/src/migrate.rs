//! `plaza migrate`: the databases on a server, brought to the schema that this version needs.

use crate::{app, cli, print};
use anyhow::{Context, Result, bail};
use plaza_mysql::{Migration, State, redacted};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) async fn migrate(words: cli::Migrate) -> Result<()> {
    let infra = words.manifest.infra();
    let urls = app::database_urls(words.mysql.as_deref(), &infra)?;
    if urls.is_empty() {
        bail!("name the databases with --mysql; those in SQLite are migrated by the `plaza up` that holds them");
    }
    if let Some(context) = &words.revert {
        let url = urls.get(context).with_context(|| format!("there is no context {context:?}"))?;
        return revert(context, url, &infra.join("sql").join(context)).await;
    }
    let mut pending = 0;
    let mut told = Vec::new();
    for (context, url) in &urls {
        let folder = infra.join("sql").join(context);
        let named = || format!("{context} in {}", redacted(url));
        if words.check {
            for migration in plaza_mysql::status(url, &folder).await.with_context(named)? {
                if words.json {
                    told.push(as_json(context, &migration));
                } else {
                    print(&format!("{context}: {}", describe(&migration)));
                }
                pending += usize::from(!matches!(migration.state, State::Applied(_)));
            }
            continue;
        }
        if words.create && plaza_mysql::create_database(url).await.with_context(named)? {
            print(&format!("{context}: database created"));
        }
        let applied = plaza_mysql::migrate(url, &folder).await.with_context(named)?;
        for name in &applied {
            print(&format!("{context}: {name} applied"));
        }
        if applied.is_empty() {
            print(&format!("{context}: up to date"));
        }
    }
    if words.json {
        print(&json!({ "ok": pending == 0, "migrations": told }).to_string());
    }
    if pending > 0 {
        bail!("{pending} migrations are to be applied; `plaza migrate` applies them");
    }
    Ok(())
}

/// Takes back the newest migration of a context.
async fn revert(context: &str, url: &str, folder: &Path) -> Result<()> {
    let migrations = plaza_mysql::status(url, folder).await?;
    let applied = migrations.iter().filter(|migration| migration.state != State::Pending).count();
    if applied == 0 {
        bail!("{context}: no migration is applied");
    }
    for name in plaza_mysql::revert(url, folder, applied - 1).await? {
        print(&format!("{context}: {name} reverted"));
    }
    Ok(())
}

/// A migration for programs; the detail is the line for people.
fn as_json(context: &str, migration: &Migration) -> Value {
    let state = match migration.state {
        State::Pending => "pending",
        State::Applied(_) => "applied",
        State::Unfinished(_) => "unfinished",
    };
    json!({ "context": context, "name": migration.name, "state": state, "detail": describe(migration) })
}

fn describe(migration: &Migration) -> String {
    let state = match migration.state {
        State::Pending => "to be applied",
        State::Applied(_) => "applied",
        State::Unfinished(_) => "begun and not finished",
    };
    let remark = migration.irreversible.as_ref().map(|reason| format!(" (cannot be reverted: {reason})"));
    format!("{} {state}{}", migration.name, remark.unwrap_or_default())
}
