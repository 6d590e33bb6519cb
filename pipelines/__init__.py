"""Copies a VoIPcloud PBX's call records into a warehouse, every night, without losing or doubling one.

voipcloud   1 extract: pages within the budget → typed records → whole days, as a dlt source
load        2 load: `raw`, replaced by whole days, with the coverage that speaks of them
transform   3 transform: `sql/`, staging → intermediate → marts, each tested
publish     4 publish: the readers' copy; report 5: the HTML page; nightly: 1 to 5 in one go
"""
