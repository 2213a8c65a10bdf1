"""Pictures as SVG, without a library: the report's and the latency tables'.

`svg` writes elements, `scales` map numbers to places and choose round ticks, `scatter` is a whole
plot of points.
"""
