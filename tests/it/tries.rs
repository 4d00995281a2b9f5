//! The table of what was tried, in docs/security.md: made of the cases of this suite, each of which must fail.

use std::fmt::Write as _;
use std::path::Path;

use crate::{
    audit_chain, audit_ends, docker_session, forged, guessing, permissions, role_bindings,
    tampering,
};

const BEGIN: &str = "<!-- tries: made by the tests -->\n";
const END: &str = "<!-- end of tries -->";

/// Classes of tries, and how many of each the suite makes. None of them may get through: the tests of each class fail
/// if one does.
async fn classes() -> Vec<(&'static str, usize)> {
    vec![
        (
            "every route as every role, in the own tenant, another and none",
            permissions::tries(),
        ),
        (
            "an unknown query parameter on every route",
            permissions::routes(),
        ),
        (
            "issuers and keys of one's own, by operators and admins of less",
            role_bindings::tries(),
        ),
        ("forged and odd tokens", forged::tries().await),
        (
            "guessing a stored secret, in each way past the budget",
            guessing::tries(),
        ),
        (
            "rows and seals changed, moved, removed and put back",
            tampering::tries(),
        ),
        (
            "events of the trail changed, removed, moved and made up",
            audit_chain::tries(),
        ),
        (
            "the newest events of lanes, with and without a server that wrote them",
            audit_ends::tries(),
        ),
        (
            "the Docker CLI's own session, by each way in",
            docker_session::tries(),
        ),
    ]
}

/// With `REGCRED_WRITE_TABLE=1` the page is written anew.
#[tokio::test]
async fn the_table_of_tries_is_that_of_the_suite() {
    let mut table = "| class | tried | through |\n| --- | --- | --- |\n".to_owned();
    let mut all = 0;
    for (class, tried) in classes().await {
        assert!(tried > 0, "{class}");
        all += tried;
        writeln!(table, "| {class} | {tried} | 0 |").expect("a text takes it");
    }
    writeln!(table, "| all | {all} | 0 |").expect("a text takes it");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(&page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where it begins");
    let (stands, after) = rest.split_once(END).expect("where it ends");
    if std::env::var_os("REGCRED_WRITE_TABLE").is_some() {
        let whole = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(&page, whole).expect("writable");
        return;
    }
    assert_eq!(stands, table, "REGCRED_WRITE_TABLE=1 writes it anew");
}
