"""The HTTP port: health for probes, metrics for Prometheus.

routes   what is answered under which path
server   uvicorn inside the service's own loop
"""
