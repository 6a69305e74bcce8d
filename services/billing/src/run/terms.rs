//! What changes the amounts of a batch of documents after they are rated: the coupons of each subscription, the taxes of each
//! tenant.

use super::Candidate;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::discount::AppliedCoupon;
use talea_domain::id::TenantId;
use talea_domain::invoice::BillTerms;
use talea_domain::tax::{TaxProfile, TaxSettings, TaxTerms};
use talea_platform::terms::{self, Key};

pub struct Terms {
    settings: Option<TaxSettings>,
    profiles: BTreeMap<TenantId, Vec<TaxProfile>>,
    coupons: BTreeMap<Key, Vec<AppliedCoupon>>,
}

fn key(candidate: &Candidate) -> Key {
    (candidate.subscription.tenant.clone(), candidate.subscription.id.clone())
}

impl Terms {
    pub async fn load(connection: &mut PgConnection, candidates: &[Candidate]) -> anyhow::Result<Self> {
        let settings = terms::tax_settings(connection).await?;
        let profiles = match settings {
            Some(_) => terms::tax_profiles(connection, candidates.iter().map(|it| &it.subscription.tenant)).await?,
            None => BTreeMap::new(),
        };
        let keys: Vec<Key> = candidates.iter().map(key).collect();
        Ok(Self { settings, profiles, coupons: terms::applied(connection, &keys).await? })
    }

    pub fn of(&self, candidate: &Candidate) -> BillTerms<'_> {
        let profiles = self.profiles.get(&candidate.subscription.tenant).map_or(&[][..], Vec::as_slice);
        BillTerms {
            taxes: self.settings.as_ref().map_or(TaxTerms::None, |settings| TaxTerms::Rates { settings, profiles }),
            charges: &[],
            coupons: self.coupons.get(&key(candidate)).map_or(&[][..], Vec::as_slice),
        }
    }
}
