//! `neurosphere migrate`.

use neurosphere::db::tenancy::Owner;
use neurosphere::{templates, tenants};
use std::process::ExitCode;

use super::{Desk, told};

/// Brings roles, control plane and every tenant up to date. A tenant that fails is named and does not stop the rest.
pub(crate) async fn run() -> Result<ExitCode, String> {
    let mut desk = Desk::open().await?;
    if migrate(&mut desk).await? { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
}

/// True if every tenant is up to date.
pub(crate) async fn migrate(desk: &mut Desk) -> Result<bool, String> {
    let password = desk.operations.database.app_password.clone();
    let applied = desk.owner.migrate_platform(&password).await.map_err(told)?;
    println!(
        "control plane: {}",
        if applied.is_empty() { "up to date".to_owned() } else { applied.join(", ") }
    );
    templates::catalog::publish_built_in(&desk.db).await.map_err(told)?;
    let wanted = Owner::tenant_version();
    let all = tenants::list(&desk.db).await.map_err(told)?;
    let behind: Vec<_> = all
        .iter()
        .filter(|tenant| i64::from(tenant.schema_version) < i64::from(wanted))
        .filter(|tenant| !matches!(tenant.state, tenants::State::Provisioning | tenants::State::Deleted))
        .collect();
    let mut failed = 0;
    for tenant in &behind {
        let done = match desk.owner.migrate_tenant(tenant.id).await {
            Ok(version) => tenants::migrated(&desk.db, tenant, version).await,
            Err(fault) => Err(fault),
        };
        match done {
            Ok(()) => println!("tenant {}: version {wanted}", tenant.slug),
            Err(fault) => {
                failed += 1;
                println!("tenant {}: FAILED: {}", tenant.slug, fault.chain());
            }
        }
    }
    println!("tenants: {} of {} were behind, {failed} failed", behind.len(), all.len());
    Ok(failed == 0)
}
