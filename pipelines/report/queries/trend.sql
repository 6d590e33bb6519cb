select
    account,
    queue_kind,
    queue_name,
    $step as step,
    $sums
from $mart
where local_date between date '$first' and date '$last'
group by grouping sets ($scopes)
