-- How many calls a tenant has at once is limited; what a caller hears when all lines are taken is the tenant's to say.

alter table {t}.agent_settings add column busy_message text,
    add constraint agent_settings_busy_form check (length(busy_message) between 1 and 300);
