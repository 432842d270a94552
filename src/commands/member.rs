//! `neurosphere member`: the people of a tenant, by the same operations as its own API. How a new tenant gets its first owner.

use clap::Subcommand;
use neurosphere::db::page::Page;
use neurosphere::identity::invitations::{self, Delivery, Invitation};
use neurosphere::identity::jobs::Sites;
use neurosphere::identity::{Address, Standing, members, roles};
use neurosphere::ids::{InvitationId, MemberId, RoleId};
use neurosphere::tenants::slug::Slug;

use super::tenant_key::of_tenant;
use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum Member {
    /// Invite somebody; mailed where a mail server is set, else the link is printed, this once
    Invite {
        /// The tenant's name in hosts
        slug: Slug,
        /// The e-mail address; whoever reads its mail may accept, within seven days
        #[arg(long)]
        email: Address,
        /// owner, admin, member, viewer, or the id of a role of the tenant's own
        #[arg(long, value_parser = standing)]
        role: Standing,
        /// Print the link though a mail server is set
        #[arg(long)]
        by_hand: bool,
    },
    /// Print a new link of an invitation, this once; the one before it is void
    Link {
        /// The tenant's name in hosts
        slug: Slug,
        /// The invitation's id
        invitation: InvitationId,
    },
    /// List members and open invitations: id, role, address, name
    List {
        /// The tenant's name in hosts
        slug: Slug,
    },
    /// Make a member something else; its sessions end
    Role {
        /// The tenant's name in hosts
        slug: Slug,
        /// The member's id
        member: MemberId,
        /// owner, admin, member, viewer, or the id of a role of the tenant's own
        #[arg(value_parser = standing)]
        role: Standing,
    },
    /// Take a member out, and end its sessions
    Remove {
        /// The tenant's name in hosts
        slug: Slug,
        /// The member's id
        member: MemberId,
    },
}

fn standing(word: &str) -> Result<Standing, String> {
    match word {
        "owner" => Ok(Standing::Owner),
        "admin" => Ok(Standing::Admin),
        "member" => Ok(Standing::Member),
        "viewer" => Ok(Standing::Viewer),
        other => other.parse::<RoleId>().map(Standing::Custom).map_err(|_| {
            "the roles are owner, admin, member and viewer; a role of the tenant's own is named by its id"
                .to_owned()
        }),
    }
}

impl Member {
    pub(crate) async fn run(self) -> Result<(), String> {
        let desk = Desk::open()?;
        match self {
            Self::Invite { slug, email, role, by_hand } => {
                let delivery =
                    if desk.operations.sends_mail && !by_hand { Delivery::Mail } else { Delivery::ByHand };
                let mut session = of_tenant(&desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let made =
                    invitations::invite(&mut tx, &email, role, delivery, None).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("invitation  {}", made.id);
                println!("expires     {}", made.expires_at.format("%Y-%m-%d %H:%M UTC"));
                drop(session);
                match delivery {
                    Delivery::Mail => println!("link        is mailed by a worker of `neurosphere serve`"),
                    Delivery::ByHand => print_link(&desk, &slug, made.id).await?,
                }
                Ok(())
            }
            Self::Link { slug, invitation } => print_link(&desk, &slug, invitation).await,
            Self::List { slug } => list(&desk, &slug).await,
            Self::Role { slug, member, role } => {
                let mut session = of_tenant(&desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let changed = members::change_standing(&mut tx, member, role).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("{} ({member}) is {} now", changed.name, changed.standing.name());
                Ok(())
            }
            Self::Remove { slug, member } => {
                let mut session = of_tenant(&desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let removed = members::remove(&mut tx, member).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("{} ({member}) is no member of {slug} any more", removed.name);
                Ok(())
            }
        }
    }
}

async fn print_link(desk: &Desk, slug: &Slug, id: InvitationId) -> Result<(), String> {
    let mut session = of_tenant(desk, slug).await?;
    let mut tx = session.begin().await.map_err(told)?;
    let made = invitations::link(&mut tx, id).await.map_err(refused)?;
    tx.commit().await.map_err(told)?;
    let http = &desk.operations.http;
    let sites = Sites { base_domain: http.base_domain.clone(), port: http.port() };
    println!("link        {}   (shown this once)", sites.invitation(&made.slug, &made.token));
    Ok(())
}

async fn list(desk: &Desk, slug: &Slug) -> Result<(), String> {
    let mut session = of_tenant(desk, slug).await?;
    let mut tx = session.begin().await.map_err(told)?;
    let own = roles::list(&mut tx).await.map_err(refused)?;
    let word = |standing: Standing| {
        let named = standing.custom().and_then(|id| own.iter().find(|role| role.id == id));
        named.map_or_else(|| standing.name().to_owned(), |role| role.name.clone())
    };
    let mut page = Page { first: Page::FIRST_MAX, after: None };
    loop {
        let mut rows = members::list(&mut tx, page).await.map_err(refused)?;
        let more = page.cut(&mut rows);
        for member in &rows {
            let address = member.address.as_ref().map_or("-", Address::reveal);
            println!("{}  {:<8} {address}  {}", member.id, word(member.standing), member.name);
        }
        page.after = rows.last().map(|member| member.id.uuid());
        if !more {
            break;
        }
    }
    let now = tx.now();
    let newest = Page { first: Page::FIRST_MAX, after: None };
    let invited = invitations::list(&mut tx, newest).await.map_err(refused)?;
    let open = |invitation: &&Invitation| invitation.is_open(now);
    for one in invited.iter().take(newest.first.into()).filter(open) {
        println!("{}  {:<8} {}  invited", one.id, word(one.standing), one.address.reveal());
    }
    Ok(())
}
