"""Reading and writing: microscope files and sessions in, tables and maps out.

zarr and RosettaSciIO are imported in this room alone; lazy arrays of readers stay inside it.
"""
