"""Copies a VoIPcloud PBX's call records into a warehouse, every night, without losing or doubling one.

The data flow, one line a step:

    client, paging, budget → one page at a time of a newest-first list that moves, within 100 requests per 15 minutes
    records → typed rows, and rejected records with a reason
    reading, coverage → packages of whole days: what is missing, newest first
    voipcloud, warehouse → `raw`, replaced by whole days, together with the coverage that speaks of them
    models → `sql/`: staging → intermediate → marts, each tested
"""
