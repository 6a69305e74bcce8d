//! Which server, which database, which role: everything needed to open a connection, with its secrets hidden.

use crate::secret::Secret;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// The four roles of Talea. None is superuser, none bypasses row-level security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns the schema; migrations, rebuild, erasure.
    Owner,
    /// HTTP requests: one tenant at a time.
    App,
    /// Background work over all tenants, on a named list of tables.
    Worker,
    /// Reads over all tenants.
    Operator,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::App, Self::Worker, Self::Operator];

    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "talea_owner",
            Self::App => "talea_app",
            Self::Worker => "talea_worker",
            Self::Operator => "talea_operator",
        }
    }
}

/// One password per role.
#[derive(Debug, Clone)]
pub struct RolePasswords {
    pub owner: Secret,
    pub app: Secret,
    pub worker: Secret,
    pub operator: Secret,
}

impl RolePasswords {
    /// Four independent passwords from one secret, which must have at least 128 bits of entropy.
    pub fn derive(secret: &Secret) -> Self {
        let password = |role: Role| {
            let mut hasher = Sha256::new();
            for part in ["talea.role_password.v1", role.name(), secret.reveal()] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            Secret::new(hex(&hasher.finalize()))
        };
        Self {
            owner: password(Role::Owner),
            app: password(Role::App),
            worker: password(Role::Worker),
            operator: password(Role::Operator),
        }
    }

    pub fn of(&self, role: Role) -> &Secret {
        match role {
            Role::Owner => &self.owner,
            Role::App => &self.app,
            Role::Worker => &self.worker,
            Role::Operator => &self.operator,
        }
    }
}

/// One database on one server.
#[derive(Debug, Clone)]
pub struct Target {
    /// `postgres://USER:PASSWORD@HOST:PORT[/DATABASE]` of a role that may create roles and databases. Only migration
    /// uses its user; everything else takes host, port and TLS settings from it. The database in it (by default
    /// `postgres`) is only used to create the other one.
    pub url: Secret,
    pub database: String,
    pub passwords: RolePasswords,
}

impl Target {
    /// How the administrator of [`Target::url`] connects.
    pub fn admin(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = PgConnectOptions::from_str(self.url.reveal())?;
        Ok(match options.get_database() {
            Some(_) => options,
            None => options.database("postgres"),
        })
    }

    /// How `role` connects to the database.
    pub fn role(&self, role: Role) -> Result<PgConnectOptions, sqlx::Error> {
        Ok(PgConnectOptions::from_str(self.url.reveal())?
            .username(role.name())
            .password(self.passwords.of(role).reveal())
            .database(&self.database))
    }

    /// The same server and roles, another database.
    pub fn with_database(&self, database: impl Into<String>) -> Self {
        Self { database: database.into(), ..self.clone() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_by_role_and_are_not_shown() {
        let passwords = RolePasswords::derive(&Secret::new("0123456789abcdef0123456789abcdef"));
        assert_ne!(passwords.app, passwords.worker);
        assert_eq!(passwords.app.reveal().len(), 64);
        let target = Target { url: Secret::new("postgres://root:geheim@host:1"), database: "talea".into(), passwords };
        let shown = format!("{target:?}");
        assert!(!shown.contains("geheim") && !shown.contains(target.passwords.app.reveal()), "{shown}");
    }

    #[test]
    fn a_role_connects_to_the_database_and_the_administrator_to_its_own() {
        let target = Target {
            url: Secret::new("postgres://root:geheim@host:1"),
            database: "talea".into(),
            passwords: RolePasswords::derive(&Secret::new("x")),
        };
        let (admin, app) = (target.admin().expect("parses"), target.role(Role::App).expect("parses"));
        assert_eq!((admin.get_username(), admin.get_database()), ("root", Some("postgres")));
        assert_eq!((app.get_username(), app.get_database(), app.get_port()), ("talea_app", Some("talea"), 1));
    }
}
