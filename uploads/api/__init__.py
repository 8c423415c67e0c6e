"""The API of uploads: views, serializers, filters. Calls the use cases of `uploads`.

Imported by the URLs only.
"""
