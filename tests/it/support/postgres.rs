//! temporary
use std::process::Command;

pub struct Shared;
pub fn shared() -> &'static Shared {
    &Shared
}
impl Shared {
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:5555/{database}")
    }
    async fn run(&self, sql: &str) {
        use sqlx::Connection;
        let mut c = sqlx::PgConnection::connect(&self.url("postgres"))
            .await
            .expect("connect");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut c)
            .await
            .expect("sql");
    }
    pub async fn create_database(&self, name: &str, template: Option<&str>) {
        if name == "migrated" {
            self.run("DROP DATABASE IF EXISTS migrated").await;
        }
        let t = template.unwrap_or("template0");
        self.run(&format!(
            "CREATE DATABASE {name} TEMPLATE {t} STRATEGY file_copy"
        ))
        .await;
    }
    pub async fn block(&self, name: &str) {
        self.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await;
        self.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }
    pub async fn unblock(&self, name: &str) {
        self.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            .await;
    }
}
pub fn dump(url: &str) -> String {
    let out = Command::new("/usr/lib/postgresql/15/bin/pg_dump")
        .arg(url)
        .output()
        .expect("pg_dump");
    String::from_utf8_lossy(&out.stdout).into_owned()
}
