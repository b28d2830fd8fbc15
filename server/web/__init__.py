"""The HTTP port: health for probes, metrics for Prometheus, and the REST paths that BullMQ's users know.

routes   what is answered under which path
api      everything under /api
server   uvicorn inside the service's own loop
"""
