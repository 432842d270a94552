//! Trusted documents: they are those of `graphql/operations/`, they stay within all limits, and who is held to them gets
//! nothing else executed.

use neurosphere::graphql::limits::{Introspection, Refused, parse};
use neurosphere::graphql::trusted::{Documents, Freedom, Source, id};
use std::fs;
use std::path::Path;

/// The operations that stand in a folder.
fn operations(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphql/operations").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_operation_of_the_dashboards_is_trusted_under_its_digest_and_within_the_limits() {
    let (tenants, platform) = (Documents::of_tenants(), Documents::of_the_platform());
    for (own, other, folder) in [(&tenants, &platform, ""), (&platform, &tenants, "platform")] {
        let operations = operations(folder);
        assert!(3 < operations.len(), "{folder}");
        for text in operations {
            for freedom in [Freedom::Free, Freedom::Trusted] {
                for source in [Source::Id(id(&text)), Source::Text(text.clone())] {
                    assert_eq!(
                        own.text(source, freedom).as_deref(),
                        Ok(&*text),
                        "built in before it was changed?"
                    );
                }
            }
            assert_eq!(other.text(Source::Id(id(&text)), Freedom::Free), Err(Refused::Unknown), "{text}");
            assert!(parse(&text, Introspection::Refused).is_ok(), "{text}");
        }
    }
}

#[test]
fn who_is_held_to_trusted_documents_gets_nothing_else() {
    let documents = Documents::of_tenants();
    let text = |text: &str| Source::Text(text.to_owned());
    let known = operations("").pop().unwrap();
    for other in ["{ tenant { name } }", "", &format!("{known} "), &known.to_uppercase(), &id(&known)] {
        assert_eq!(documents.text(text(other), Freedom::Trusted), Err(Refused::Untrusted), "{other}");
        assert_eq!(documents.text(text(other), Freedom::Free).as_deref(), Ok(other));
    }
    let digest = id(&known);
    let bare = digest.strip_prefix("sha256:").unwrap();
    for other in
        ["", "sha256:", bare, &digest.to_uppercase(), &format!("md5:{bare}"), &format!("{digest}0"), &known]
    {
        for freedom in [Freedom::Free, Freedom::Trusted] {
            assert_eq!(
                documents.text(Source::Id(other.to_owned()), freedom),
                Err(Refused::Unknown),
                "{other}"
            );
        }
    }
}
