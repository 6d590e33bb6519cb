select * from marts.load_health
order by account, endpoint
